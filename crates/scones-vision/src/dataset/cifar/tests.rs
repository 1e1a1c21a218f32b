use flate2::{Compression, write::GzEncoder};

use super::*;

fn string(text: &str) -> Vec<u8> {
    [&[b'U', text.len() as u8][..], text.as_bytes()].concat()
}

fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [&b"]("[..], &items.into_iter().collect::<Vec<_>>().concat(), b"e"].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let body: Vec<u8> = entries
        .iter()
        .flat_map(|(key, value)| [string(key), value.clone()].concat())
        .collect();
    [&b"\x80\x02}("[..], &body, b"u."].concat()
}

/// An array as Python 2 writes it.
fn array(rows: u8, data: &[u8]) -> Vec<u8> {
    let head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K";
    let columns = (IMAGE_BYTES as u16).to_le_bytes();
    let kind = b"tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T";
    let length = (data.len() as u32).to_le_bytes();
    [&head[..], &[rows, b'M'], &columns, kind, &length, data, b"tb"].concat()
}

/// Image `shade`: red plane counts up from it, green is it, blue is 255.
fn planes(shade: u8) -> Vec<u8> {
    let red = (0..PLANE).map(|at| (at as u8).wrapping_add(shade));
    red.chain([shade; PLANE]).chain([255; PLANE]).collect()
}

fn batch(samples: &[(&str, u8)]) -> Vec<u8> {
    let data: Vec<u8> = (0..samples.len()).flat_map(|at| planes(at as u8)).collect();
    dict(&[
        ("filenames", list(samples.iter().map(|(name, _)| string(name)))),
        ("fine_labels", list(samples.iter().map(|&(_, label)| vec![b'K', label]))),
        ("data", array(samples.len() as u8, &data)),
    ])
}

fn meta() -> Vec<u8> {
    dict(&[("fine_label_names", list(["apple", "bicycle", "motorcycle"].map(string)))])
}

fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("cifar-100-python/{name}"), bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// In the official order: the names come last.
fn official() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("file.txt~", b"x".to_vec()),
        (
            "train",
            batch(&[("fruit.png", 0), ("moto_s_1.png", 2), ("bike_s_2.png", 1)]),
        ),
        ("test", batch(&[("bike_s_3.png", 1)])),
        ("meta", meta()),
    ]
}

fn classes() -> Vec<String> {
    vec!["motorcycle".to_owned(), "bicycle".to_owned()]
}

fn shown(dataset: &Dataset) -> Vec<(&str, usize, [u8; 3])> {
    let samples = dataset.samples.iter();
    samples
        .map(|s| (s.name.as_str(), s.label, s.image.get_pixel(1, 0).0))
        .collect()
}

#[test]
fn selects_classes_by_name_and_keeps_file_names() {
    let splits = read_archive(archive(&official()).as_slice(), &classes(), "a.tar.gz").unwrap();
    assert_eq!(splits.train.classes, classes());
    assert_eq!(
        shown(&splits.train),
        [("moto_s_1.png", 0, [2, 1, 255]), ("bike_s_2.png", 1, [3, 2, 255])]
    );
    assert_eq!(shown(&splits.test), [("bike_s_3.png", 1, [1, 0, 255])]);
    let all = read_archive(archive(&official()).as_slice(), &[], "a.tar.gz").unwrap();
    assert_eq!((all.train.samples.len(), all.train.classes.len()), (3, 3));
}

#[test]
fn reads_an_unpacked_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in official() {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(shown(&read_path(folder.path(), &classes()).unwrap().train).len(), 2);
}

#[test]
fn reads_the_binary_forms() {
    let record = |labels: &[u8], shade| [labels, &planes(shade)].concat();
    let hundred = [
        ("fine_label_names.txt", b"apple\nbicycle\nmotorcycle\n".to_vec()),
        ("train.bin", [record(&[9, 0], 0), record(&[9, 2], 5)].concat()),
        ("test.bin", record(&[9, 1], 7)),
    ];
    let splits = read_archive(archive(&hundred).as_slice(), &classes(), "a").unwrap();
    assert_eq!(shown(&splits.train), [("motorcycle_train_000001.png", 0, [6, 5, 255])]);
    assert_eq!(shown(&splits.test), [("bicycle_test_000000.png", 1, [8, 7, 255])]);

    let mut ten: Vec<_> = BINARY_BATCHES.map(|name| (name, record(&[1], 1))).to_vec();
    ten.push(("batches.meta.txt", b"airplane\nbicycle\n\n".to_vec()));
    ten.push(("test_batch.bin", record(&[0], 1)));
    let splits = read_archive(archive(&ten).as_slice(), &[], "a").unwrap();
    assert_eq!((splits.train.samples.len(), splits.test.samples[0].label), (5, 0));
}

fn refused(archive: &[u8], classes: &[String], expect: &str) {
    let error = read_archive(archive, classes, "a.tar.gz").unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn names_what_is_wrong() {
    let whole = archive(&official());
    refused(
        &whole[..whole.len() / 2],
        &classes(),
        "a.tar.gz: the archive cannot be unpacked",
    );
    for text in [&b"plain text"[..], b"text\n", b"\x1f", b""] {
        refused(text, &classes(), "a.tar.gz: not a gzip archive");
    }
    refused(
        &whole,
        &["bicycle", "apple", "bicycle"].map(str::to_owned),
        "the class \"bicycle\" is named twice",
    );
    refused(
        &archive(&[("readme", vec![])]),
        &classes(),
        "not a CIFAR archive: it holds none of meta,",
    );
    refused(
        &archive(&official()[2..]),
        &classes(),
        "member train is missing: the archive is incomplete",
    );
    refused(
        &whole,
        &["bike".to_owned()],
        "a.tar.gz: there is no class \"bike\"; the data has: apple, bicycle, motorcycle",
    );
    let with_train = |train: Vec<u8>| {
        let mut members = official();
        members[1].1 = train;
        archive(&members)
    };
    refused(
        &with_train(batch(&[("a.png", 7)])),
        &classes(),
        "member train: label 7 is not among the 3 classes",
    );
    refused(
        &with_train(batch(&[("../a.png", 1)])),
        &classes(),
        "a file name is missing or holds a path",
    );
    refused(
        &with_train(b"\x80\x02cos\nsystem\n.".to_vec()),
        &classes(),
        "a.tar.gz member train is not the expected pickle: the name os.system is not allowed",
    );
    let mut short = batch(&[("a.png", 1)]);
    let rows = short.windows(2).position(|pair| pair == [1, b'M']).unwrap();
    short[rows] = 2;
    refused(
        &with_train(short),
        &classes(),
        "the entry data is missing or of the wrong kind",
    );
}

#[test]
fn one_file_of_a_dataset_is_known_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, expect: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, [&[1][..], &planes(0)].concat()).unwrap();
        let error = read_path(&path, &classes()).unwrap_err();
        let told = error.to_string();
        let place = format!("{}: ", path.display());
        assert!(told.strip_prefix(&place).unwrap().starts_with(expect), "{told}");
        assert!(std::error::Error::source(&error).is_none(), "nothing is told twice");
    };
    check("data_batch_1.bin", "not an archive but one file of it");
    check("other.bin", "not an archive but one file of it");
    check("meta", "not an archive but one file of it");
    check("photo.png", "not a gzip archive: CIFAR's archives are .tar.gz files");
}

#[test]
fn a_file_called_like_one_of_a_dataset_is_told_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.bin");
    let check = |bytes: &[u8], expect: &str| {
        std::fs::write(&path, bytes).unwrap();
        let told = read_path(&path, &classes()).unwrap_err().to_string();
        let told = told.strip_prefix(&format!("{}: ", path.display())).unwrap();
        assert!(told.starts_with(expect), "{told}");
    };
    let neither = |problem: &str| format!("neither a gzip archive nor a file of one of CIFAR's: {problem}");
    let record = |labels: &[u8]| [labels, &planes(0)].concat();
    let lengths = "bytes are not a whole number of records, which have 3073 bytes (CIFAR-10) or 3074 (CIFAR-100)";
    check(b"", &neither(&format!("0 {lengths}")));
    check(&[7; 5_000], &neither(&format!("5000 {lengths}")));
    check(
        &[record(&[9]), record(&[10])].concat(),
        &neither("record 1 has the label 10, where 0 to 9 are known"),
    );
    check(
        &record(&[20, 0]),
        &neither("record 0 has the label 20, where 0 to 19 are known"),
    );
    check(
        &record(&[19, 100]),
        &neither("record 0 has the label 100, where 0 to 99 are known"),
    );
    check(&record(&[9]), "not an archive but one file of it");
    check(&record(&[19, 99]), "not an archive but one file of it");
    std::fs::write(&path, archive(&official())).unwrap();
    read_path(&path, &classes()).unwrap();
}
