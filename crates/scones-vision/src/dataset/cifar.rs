//! CIFAR-10 and CIFAR-100 as published: `cifar-100-python.tar.gz` and its relatives, pickled or
//! binary, as an archive or an unpacked folder.
//!
//! Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
//! <https://www.cs.toronto.edu/~kriz/cifar.html> describes the formats.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::GzDecoder;
use image::RgbImage;

use super::{
    Dataset, Error, Sample, is_plain_file_name,
    pickle::{Pickle, Value},
    read_limited,
};

/// Where the CIFAR-100 archive is published.
pub const CIFAR_100_URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz";
/// MD5 of the published CIFAR-100 archive, in hexadecimal.
pub const CIFAR_100_MD5: &str = "eb9058c3a382ffc7106e4002c42a8d85";
/// Size of the published CIFAR-100 archive, in bytes.
pub const CIFAR_100_BYTES: u64 = 169_001_437;

/// Width and height of every image.
pub const SIDE: u32 = 32;
const PLANE: usize = (SIDE * SIDE) as usize;
const IMAGE_BYTES: usize = 3 * PLANE;
/// How a gzip file begins (RFC 1952, section 2.3.1).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// Longest member read: the largest official one has 155 MB.
const MEMBER_BYTES_MAX: u64 = super::pickle::PICKLE_BYTES_MAX as u64;
/// Most bytes read from an archive after decompression, so that a bomb ends.
const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

/// The two parts of an archive, with the same classes in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splits {
    /// The training images.
    pub train: Dataset,
    /// The test images.
    pub test: Dataset,
}

/// Reads an archive file or an unpacked folder. With class names, only those classes are kept, and
/// their labels are their positions in `classes`; without, all are kept in the official order.
///
/// Takes about as much memory as the largest form's members, 190 MB.
///
/// # Errors
/// A file that cannot be read; an archive that is damaged, cut short or none of CIFAR's; a pickle
/// that is not plain data; an unknown class.
pub fn read_path(path: &Path, classes: &[String]) -> Result<Splits, Error> {
    let origin = path.display().to_string();
    if path.is_dir() {
        let members = folder_members(path)?;
        return splits(&members, classes, &origin);
    }
    if path.extension() == Some("bin".as_ref()) {
        check_binary(path)?;
    }
    let file = File::open(path).map_err(Error::io("read", path))?;
    read_archive(BufReader::with_capacity(1 << 20, file), classes, &origin)
}

/// Reads a gzipped archive from a stream; `origin` names it in errors. See [`read_path`].
///
/// # Errors
/// As [`read_path`].
pub fn read_archive(mut archive: impl Read, classes: &[String], origin: &str) -> Result<Splits, Error> {
    let mut magic = Vec::new();
    let begun = archive.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic);
    begun.map_err(Error::io("read", Path::new(origin)))?;
    if magic != GZIP_MAGIC {
        return Err(cifar(origin, not_gzip(Path::new(origin))));
    }
    let members = archive_members(magic.chain(archive)).map_err(|source| {
        cifar(
            origin,
            format!("the archive cannot be unpacked ({source}); it may be cut short: fetch it again"),
        )
    })?;
    splits(&members, classes, origin)
}

fn cifar(origin: &str, problem: impl Into<String>) -> Error {
    Error::Cifar {
        origin: origin.to_owned(),
        problem: problem.into(),
    }
}

/// Refuses a file that is called like a binary form's and is neither that nor an archive.
fn check_binary(path: &Path) -> Result<(), Error> {
    let bytes = read_limited(path, MEMBER_BYTES_MAX).map_err(Error::io("read", path))?;
    let problem = match bytes {
        Some(bytes) if bytes.starts_with(GZIP_MAGIC) => return Ok(()),
        Some(bytes) => binary_problem(&bytes),
        None => Some(format!("it has more than {MEMBER_BYTES_MAX} bytes")),
    };
    let refused = |problem| {
        let text = format!("neither a gzip archive nor a file of one of CIFAR's: {problem}");
        Err(cifar(&path.display().to_string(), text))
    };
    problem.map_or(Ok(()), refused)
}

/// Why the bytes are no records of CIFAR-10, and none of CIFAR-100.
fn binary_problem(bytes: &[u8]) -> Option<String> {
    // How many labels there are, by the places where a record has them.
    let forms: [&[u8]; 2] = [&[10], &[20, 100]];
    let mut problem = format!(
        "{} bytes are not a whole number of records, which have {} bytes (CIFAR-10) or {} (CIFAR-100)",
        bytes.len(),
        IMAGE_BYTES + 1,
        IMAGE_BYTES + 2
    );
    for counts in forms {
        let record_bytes = counts.len() + IMAGE_BYTES;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record_bytes) {
            continue;
        }
        let labels = bytes.chunks_exact(record_bytes).enumerate();
        let mut labels = labels.flat_map(|(at, record)| record.iter().zip(counts).map(move |label| (at, label)));
        match labels.find(|(_, (label, count))| label >= count) {
            None => return None,
            Some((at, (label, count))) => {
                problem = format!("record {at} has the label {label}, where 0 to {} are known", count - 1);
            }
        }
    }
    Some(problem)
}

/// What to do with a file that is no archive: it may be a member of one.
fn not_gzip(path: &Path) -> &'static str {
    let is_member = path
        .file_name()
        .is_some_and(|name| is_wanted(&name.to_string_lossy()) || path.extension() == Some("bin".as_ref()));
    if is_member {
        "not an archive but one file of it, which does not say what its classes are called: name the folder that \
         holds all of CIFAR's files, or the .tar.gz archive"
    } else {
        "not a gzip archive: CIFAR's archives are .tar.gz files, image lists end in .lst"
    }
}

/// The wanted files by name, wherever they lie in the archive.
type Members = BTreeMap<String, Vec<u8>>;

fn archive_members(archive: impl Read) -> io::Result<Members> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(ARCHIVE_BYTES_MAX));
    let mut members = Members::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry
            .path()?
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !entry.header().entry_type().is_file() || !is_wanted(&name) {
            continue;
        }
        let size = entry.size();
        if size > MEMBER_BYTES_MAX {
            return Err(io::Error::other(format!(
                "member {name} has {size} bytes, at most {MEMBER_BYTES_MAX}"
            )));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        members.insert(name, bytes);
    }
    Ok(members)
}

fn folder_members(folder: &Path) -> Result<Members, Error> {
    let mut members = Members::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_wanted(&name) && path.is_file() {
            let bytes = read_limited(&path, MEMBER_BYTES_MAX).map_err(Error::io("read", &path))?;
            let bytes = bytes.ok_or_else(|| Error::Layout {
                path,
                problem: format!("the file has more than {MEMBER_BYTES_MAX} bytes: it is none of CIFAR's"),
            })?;
            members.insert(name, bytes);
        }
    }
    Ok(members)
}

/// One published form: its members and how they are written.
struct Form {
    class_names: &'static str,
    class_names_key: Option<&'static str>,
    train: &'static [&'static str],
    test: &'static str,
    labels: Labels,
}

enum Labels {
    /// The key of the labels in a pickled batch.
    Pickled(&'static str),
    /// Bytes before the pixels of a binary record; the last is the label.
    Binary(usize),
}

const BATCHES: [&str; 5] = [
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
];
const BINARY_BATCHES: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

const FORMS: [Form; 4] = [
    Form {
        class_names: "meta",
        class_names_key: Some("fine_label_names"),
        train: &["train"],
        test: "test",
        labels: Labels::Pickled("fine_labels"),
    },
    Form {
        class_names: "batches.meta",
        class_names_key: Some("label_names"),
        train: &BATCHES,
        test: "test_batch",
        labels: Labels::Pickled("labels"),
    },
    Form {
        class_names: "fine_label_names.txt",
        class_names_key: None,
        train: &["train.bin"],
        test: "test.bin",
        labels: Labels::Binary(2),
    },
    Form {
        class_names: "batches.meta.txt",
        class_names_key: None,
        train: &BINARY_BATCHES,
        test: "test_batch.bin",
        labels: Labels::Binary(1),
    },
];

fn is_wanted(name: &str) -> bool {
    FORMS
        .iter()
        .any(|form| form.class_names == name || form.test == name || form.train.contains(&name))
}

fn splits(members: &Members, classes: &[String], origin: &str) -> Result<Splits, Error> {
    let form = FORMS
        .iter()
        .find(|form| members.contains_key(form.class_names))
        .ok_or_else(|| {
            let names = FORMS.map(|form| form.class_names).join(", ");
            cifar(origin, format!("not a CIFAR archive: it holds none of {names}"))
        })?;
    let reader = Reader { form, members, origin };
    let known = reader.class_names()?;
    let selection = Selection::new(known, classes, origin)?;
    let train = reader.dataset(form.train, "train", &selection)?;
    let test = reader.dataset(&[form.test], "test", &selection)?;
    Ok(Splits { train, test })
}

/// Which official labels are kept, and as which.
struct Selection {
    classes: Vec<String>,
    /// By official label.
    labels: Vec<Option<usize>>,
}

impl Selection {
    fn new(known: Vec<String>, wanted: &[String], origin: &str) -> Result<Self, Error> {
        if wanted.is_empty() {
            return Ok(Self {
                labels: (0..known.len()).map(Some).collect(),
                classes: known,
            });
        }
        let mut labels = vec![None; known.len()];
        for (label, class) in wanted.iter().enumerate() {
            let official = known.iter().position(|name| name == class);
            let unknown = || Error::UnknownClass {
                origin: origin.to_owned(),
                class: class.clone(),
                known: known.join(", "),
            };
            if labels[official.ok_or_else(unknown)?].replace(label).is_some() {
                return Err(Error::RepeatedClass(class.clone()));
            }
        }
        Ok(Self {
            classes: wanted.to_vec(),
            labels,
        })
    }

    /// The kept label of an official one, `None` when it is not wanted.
    fn keep(&self, official: i64) -> Result<Option<usize>, String> {
        let label = usize::try_from(official)
            .ok()
            .and_then(|official| self.labels.get(official));
        label
            .copied()
            .ok_or_else(|| format!("label {official} is not among the {} classes", self.labels.len()))
    }
}

struct Reader<'a> {
    form: &'a Form,
    members: &'a Members,
    origin: &'a str,
}

impl Reader<'_> {
    fn member(&self, name: &str) -> Result<&[u8], Error> {
        let missing = || {
            cifar(
                self.origin,
                format!("member {name} is missing: the archive is incomplete, fetch it again"),
            )
        };
        self.members.get(name).map(Vec::as_slice).ok_or_else(missing)
    }

    fn pickle(&self, name: &str) -> Result<Pickle<'_>, Error> {
        let origin = || format!("{} member {name}", self.origin);
        Pickle::read(self.member(name)?).map_err(|problem| Error::Pickle {
            origin: origin(),
            problem,
        })
    }

    fn class_names(&self) -> Result<Vec<String>, Error> {
        let member = self.form.class_names;
        let names = match self.form.class_names_key {
            Some(key) => {
                let pickle = self.pickle(member)?;
                texts(pickle.root().get(key))
            }
            None => {
                let text = String::from_utf8_lossy(self.member(member)?);
                Some(
                    text.lines()
                        .map(str::trim)
                        .filter(|line| !line.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )
            }
        };
        names.ok_or_else(|| cifar(self.origin, format!("member {member} does not hold the class names")))
    }

    fn dataset(&self, members: &[&str], split: &str, selection: &Selection) -> Result<Dataset, Error> {
        let mut samples = Vec::new();
        for member in members {
            let before = samples.len();
            let read = match self.form.labels {
                Labels::Pickled(key) => {
                    let pickle = self.pickle(member)?;
                    pickled_samples(pickle.root(), key, selection, &mut samples)
                }
                Labels::Binary(label_bytes) => binary_samples(
                    self.member(member)?,
                    label_bytes,
                    split,
                    selection,
                    before,
                    &mut samples,
                ),
            };
            read.map_err(|problem| cifar(self.origin, format!("member {member}: {problem}")))?;
        }
        Ok(Dataset {
            classes: selection.classes.clone(),
            samples,
            origin: self.origin.to_owned(),
            findings: Vec::new(),
        })
    }
}

fn texts(list: Option<Value<'_>>) -> Option<Vec<String>> {
    list?.items()?.map(Value::text).collect()
}

fn pickled_samples(
    batch: Value<'_>,
    key: &str,
    selection: &Selection,
    samples: &mut Vec<Sample>,
) -> Result<(), String> {
    let missing = |key: &str| format!("the entry {key} is missing or of the wrong kind");
    let labels = batch.get(key).and_then(Value::items).ok_or_else(|| missing(key))?;
    let names = batch
        .get("filenames")
        .and_then(Value::items)
        .ok_or_else(|| missing("filenames"))?;
    let array = batch
        .get("data")
        .and_then(Value::array)
        .ok_or_else(|| missing("data"))?;
    if array.shape != [labels.len(), IMAGE_BYTES] || names.len() != labels.len() {
        let [rows, columns] = array.shape;
        let (labels, names) = (labels.len(), names.len());
        return Err(format!(
            "{rows} x {columns} pixels do not fit {labels} labels and {names} file names"
        ));
    }
    for ((label, name), planes) in labels.zip(names).zip(array.data.chunks_exact(IMAGE_BYTES)) {
        let label = label.integer().ok_or_else(|| missing(key))?;
        let Some(label) = selection.keep(label)? else { continue };
        let name = name.text().filter(|name| is_plain_file_name(name));
        let name = name.ok_or("a file name is missing or holds a path")?;
        samples.push(Sample {
            image: interleave(planes),
            label,
            name,
        });
    }
    Ok(())
}

fn binary_samples(
    bytes: &[u8],
    label_bytes: usize,
    split: &str,
    selection: &Selection,
    first: usize,
    samples: &mut Vec<Sample>,
) -> Result<(), String> {
    let record_bytes = label_bytes + IMAGE_BYTES;
    if !bytes.len().is_multiple_of(record_bytes) {
        return Err(format!(
            "{} bytes are not a whole number of {record_bytes}-byte records",
            bytes.len()
        ));
    }
    for (at, record) in bytes.chunks_exact(record_bytes).enumerate() {
        let (labels, planes) = record.split_at(label_bytes);
        if let Some(label) = selection.keep(labels[label_bytes - 1].into())? {
            // The binary forms have no file names.
            let name = format!("{}_{split}_{:06}.png", selection.classes[label], first + at);
            samples.push(Sample {
                image: interleave(planes),
                label,
                name,
            });
        }
    }
    Ok(())
}

/// All red, all green, all blue to pixels.
fn interleave(planes: &[u8]) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let at = (y * SIDE + x) as usize;
        image::Rgb([planes[at], planes[PLANE + at], planes[2 * PLANE + at]])
    })
}

#[cfg(test)]
mod tests;
