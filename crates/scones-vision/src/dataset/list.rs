//! SageMaker's image lists (`.lst`): index, tab, label, tab, path relative to the channel. With
//! several classes an image there is a column for each class, 0 or 1, in the label's place.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html#IC-inputoutput>

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _},
    path::{Component, Path, PathBuf},
};

use super::{
    Dataset, Error, IMAGES_MEMORY_MAX, Label, LabelKind, Sample,
    check::{Finding, Problem, Severity, shown},
    is_plain_file_name,
    label::{self, LABELS_MAX},
    read_image, read_images, read_limited,
};
use crate::preprocessing::Fit;

/// Longest image list read, in bytes.
pub const LIST_BYTES_MAX: u64 = 256 << 20;

/// One row of an image list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One-based line in the file.
    pub line: usize,
    /// The image's index: unique by custom, with gaps allowed, and otherwise unused.
    pub index: u64,
    /// The numbers in the label's place, at least one; each is below [`LABELS_MAX`].
    pub labels: Vec<u16>,
    /// Relative to the channel's folder.
    pub path: String,
}

/// What is wrong with a row and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// Fewer than three columns.
    #[error("a row needs an index, a label and a path, separated by tabs")]
    Columns,
    /// The first column is no integer.
    #[error("the index {0:?} is not a whole number")]
    Index(String),
    /// The columns after it are no label.
    #[error(transparent)]
    Label(#[from] label::Problem),
    /// A path that leaves the channel's folder.
    #[error("the path {0:?} must be relative and stay inside the channel's folder")]
    Path(String),
    /// A path that an earlier row has with another label.
    #[error(
        "the path {path:?} has the label {label} here and {first_label} on line {first}: keep the row with the right one"
    )]
    Conflict {
        /// The last column.
        path: String,
        /// The columns before it.
        label: String,
        /// The line of the earlier row.
        first: usize,
        /// The label there.
        first_label: String,
    },
    /// The file is not there.
    #[error("the file {} does not exist: add the image or remove the row", .0.display())]
    Missing(PathBuf),
    /// The file is there but does not decode.
    #[error("the image {} cannot be used: {reason}; replace the file or remove the row", path.display())]
    Image {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Reads the rows of an image list. Blank lines, Windows line ends, a byte-order mark and labels
/// written as `1.000000` (as `im2rec` does) are accepted.
///
/// # Errors
/// The one-based line number and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Row>, (usize, RowProblem)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| parse_row(at + 1, line).map_err(|problem| (at + 1, problem)))
        .collect()
}

fn parse_row(line: usize, text: &str) -> Result<Row, RowProblem> {
    let columns: Vec<&str> = text.trim_matches(['\r', ' ']).split('\t').map(str::trim).collect();
    let [index, labels @ .., path] = columns.as_slice() else {
        return Err(RowProblem::Columns);
    };
    if labels.is_empty() {
        return Err(RowProblem::Columns);
    }
    if labels.len() > LABELS_MAX {
        return Err(label::Problem::TooMany(labels.len()).into());
    }
    let number = |label: &&str| parse_label(label).ok_or_else(|| label::Problem::Number(format!("{label:?}")));
    Ok(Row {
        line,
        index: index.parse().map_err(|_| RowProblem::Index((*index).to_owned()))?,
        labels: labels.iter().map(number).collect::<Result<_, _>>()?,
        path: inside(path).ok_or_else(|| RowProblem::Path((*path).to_owned()))?,
    })
}

fn parse_label(text: &str) -> Option<u16> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok().filter(|&label| usize::from(label) < LABELS_MAX)
}

fn inside(path: &str) -> Option<String> {
    let relative = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (relative && !path.is_empty() && !path.contains('\0')).then(|| path.to_owned())
}

/// The path in one spelling: `./a` is `a`.
fn plain(path: &str) -> String {
    let parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
    parts.collect::<PathBuf>().to_string_lossy().into_owned()
}

/// What repeats an earlier row and is used all the same: rows with its path, and rows of other
/// paths with its index. Rows are told by their lines.
///
/// # Errors
/// The line of a row whose path has another label on an earlier one.
fn repetitions(list: &Path, rows: &[Row]) -> Result<Vec<Finding>, (usize, RowProblem)> {
    let (mut by_path, mut by_index) = (HashMap::new(), HashMap::new());
    let (mut paths, mut indices) = (Vec::new(), Vec::new());
    for row in rows {
        let first: &Row = by_path.entry(plain(&row.path)).or_insert(row);
        if first.labels != row.labels {
            let conflict = RowProblem::Conflict {
                path: row.path.clone(),
                label: written(&row.labels),
                first: first.line,
                first_label: written(&first.labels),
            };
            return Err((row.line, conflict));
        }
        if first.line != row.line {
            paths.push((row, first));
            continue;
        }
        let first: &Row = by_index.entry(row.index).or_insert(row);
        if first.line != row.line {
            indices.push((row, first));
        }
    }
    let finding = |repeated: Vec<(&Row, &Row)>, what: &str, advice: &str| {
        let rows: Vec<String> = repeated
            .iter()
            .map(|(row, first)| format!("line {} ({}, as line {})", row.line, row.path, first.line))
            .collect();
        let message = format!(
            "{}: {} the {what} of an earlier row; {advice}: {}",
            list.display(),
            if rows.len() == 1 {
                "1 row has".to_owned()
            } else {
                format!("{} rows have", rows.len())
            },
            shown(&rows)
        );
        (!rows.is_empty()).then(|| Finding {
            severity: Severity::Warning,
            problem: Problem::RepeatedRow,
            message,
            files: repeated.iter().map(|(row, _)| row.path.clone()).collect(),
        })
    };
    let paths = finding(
        paths,
        "path",
        "keep one of each, so that no image counts more than once",
    );
    let indices = finding(indices, "index", "give each an index of its own");
    Ok(paths.into_iter().chain(indices).collect())
}

fn written(labels: &[u16]) -> String {
    let labels: Vec<String> = labels.iter().map(u16::to_string).collect();
    labels.join(" ")
}

/// Whether a list has a column for each class, by its first row. A list that is malformed counts as
/// one of single labels, whose reader says what is wrong.
///
/// # Errors
/// A file that cannot be read.
pub fn kind(list: &Path) -> Result<LabelKind, Error> {
    let file = std::fs::File::open(list).map_err(Error::io("read", list))?;
    for line in BufReader::new(file.take(LIST_BYTES_MAX)).lines() {
        match line {
            Ok(line) if line.trim_matches(['\u{feff}', ' ', '\t', '\r']).is_empty() => {}
            Ok(line) if line.split('\t').count() > 3 => return Ok(LabelKind::Multi),
            Err(error) if error.kind() != std::io::ErrorKind::InvalidData => {
                return Err(Error::io("read", list)(error));
            }
            _ => break,
        }
    }
    Ok(LabelKind::Single)
}

/// Reads an image list and its images below `root`. Classes are named by their numbers unless
/// `classes` names them.
///
/// # Errors
/// A list that cannot be read or is too long, a row that cannot be used, a path with two labels, a
/// missing or damaged image, each with the line; more images than [`IMAGES_MEMORY_MAX`] holds.
pub fn read<L: Label>(list: &Path, root: &Path, classes: Option<&[String]>) -> Result<Dataset<L>, Error> {
    read_fitted(list, root, classes, None)
}

/// As [`read`], but every image is fitted as it comes, so that the original sizes never lie in
/// memory together.
///
/// # Errors
/// As [`read`].
pub fn read_fitted<L: Label>(
    list: &Path,
    root: &Path,
    classes: Option<&[String]>,
    fit: Option<Fit>,
) -> Result<Dataset<L>, Error> {
    let layout = |problem: String| Error::Layout {
        path: list.to_owned(),
        problem,
    };
    let bytes = read_limited(list, LIST_BYTES_MAX).map_err(Error::io("read", list))?;
    let bytes = bytes.ok_or_else(|| {
        layout(format!(
            "the image list has more than {LIST_BYTES_MAX} bytes: divide it"
        ))
    })?;
    let at_line = |line, problem| Error::ListRow {
        list: list.to_owned(),
        line,
        problem,
    };
    let rows = parse(&String::from_utf8_lossy(&bytes)).map_err(|(line, problem)| at_line(line, problem))?;
    if rows.is_empty() {
        return Err(layout("the image list has no rows".to_owned()));
    }
    let findings = repetitions(list, &rows).map_err(|(line, problem)| at_line(line, problem))?;
    let numbered = || {
        let count = L::count_classes(rows.iter().map(|row| row.labels.as_slice()));
        (0..count).map(|class| class.to_string()).collect()
    };
    let classes = classes.map_or_else(numbered, <[String]>::to_vec);
    // Labels first: a wrong one costs no decoding.
    let label = |row: &Row| {
        let label = L::from_columns(&row.labels, classes.len());
        label.map_err(|problem| at_line(row.line, problem.into()))
    };
    let labels: Vec<L> = rows.iter().map(label).collect::<Result<_, _>>()?;
    let image = |row: &Row| {
        read_image(&root.join(&row.path)).map_err(|error| match error {
            Error::Io { source, path, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                at_line(row.line, RowProblem::Missing(path))
            }
            Error::Image { path, source } => {
                let reason = source.to_string();
                at_line(row.line, RowProblem::Image { path, reason })
            }
            other => other,
        })
    };
    let images = read_images(list, &rows, image, fit, IMAGES_MEMORY_MAX)?;
    let samples = images.into_iter().zip(labels).zip(&rows);
    let samples = samples.map(|((image, label), row)| Sample {
        image,
        label,
        name: plain(&row.path),
    });
    Ok(Dataset {
        samples: samples.collect(),
        classes,
        origin: list.display().to_string(),
        findings,
    })
}

/// Writes a dataset in the layout of SageMaker's channels: `ROOT/CHANNEL/NAME.png` for each sample
/// and `ROOT/CHANNEL.lst`. Existing files of the same names are replaced; the list comes last, so
/// that a list never names a file that is not there.
///
/// # Errors
/// A file that cannot be written; a sample's name that is no plain file name or is used twice.
pub fn write(root: &Path, channel: &str, dataset: &Dataset<impl Label>) -> Result<(), Error> {
    let folder = root.join(channel);
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let mut rows = String::new();
    let mut used = HashSet::new();
    for (index, sample) in dataset.samples.iter().enumerate() {
        let name = Path::new(&sample.name)
            .with_extension("png")
            .to_string_lossy()
            .into_owned();
        if !is_plain_file_name(&name) || !used.insert(name.clone()) {
            let problem = format!(
                "the sample name {:?} is used twice or is not a plain file name",
                sample.name
            );
            return Err(Error::Layout { path: folder, problem });
        }
        let path = folder.join(&name);
        let encoded = sample.image.save_with_format(&path, image::ImageFormat::Png);
        encoded.map_err(|error| Error::Io {
            action: "write",
            path,
            source: std::io::Error::other(error),
        })?;
        let labels = sample.label.to_columns(dataset.classes.len());
        let labels: Vec<String> = labels.iter().map(u16::to_string).collect();
        let _ = writeln!(rows, "{index}\t{}\t{name}", labels.join("\t"));
    }
    let list = root.join(format!("{channel}.lst"));
    std::fs::write(&list, rows).map_err(Error::io("write", &list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{ClassSet, synthetic};
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let shown = match parse(text) {
            Ok(rows) => rows
                .iter()
                .map(|r| format!("{}:{},{},{};", r.line, r.index, written(&r.labels), r.path))
                .collect(),
            Err((line, problem)) => format!("line {line}: {problem}"),
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn rows() {
        check(
            "16\t0\ta.png\n\r\n130\t1.000000\tsub/b c.png\r\n",
            "1:16,0,a.png;3:130,1,sub/b c.png;",
        );
        check("\u{feff}5\t0\t./a.png", "1:5,0,./a.png;");
        check("", "");
        check(
            "1\t0\ta\n2 0 b",
            "line 2: a row needs an index, a label and a path, separated by tabs",
        );
        check("1\t0\t1.0\t0\ta\n2\t1\t1\t0\tb", "1:1,0 1 0,a;2:2,1 1 0,b;");
        check("x\t0\ta", "line 1: the index \"x\" is not a whole number");
        check(
            "1\t0.5\ta",
            "line 1: the label \"0.5\" is not a whole number from 0 to 9999",
        );
        check(
            "1\t-1\ta",
            "line 1: the label \"-1\" is not a whole number from 0 to 9999",
        );
        check(
            "1\t0\t../a",
            "line 1: the path \"../a\" must be relative and stay inside the channel's folder",
        );
        check(
            "1\t0\t/a",
            "line 1: the path \"/a\" must be relative and stay inside the channel's folder",
        );
        check(
            "1\t0\t",
            "line 1: the path \"\" must be relative and stay inside the channel's folder",
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_names_a_line_that_exists(text in "[0-9\t\r\n a./\\PC]{0,80}") {
            match parse(&text) {
                Ok(rows) => prop_assert!(rows.len() <= text.lines().count()),
                Err((line, _)) => prop_assert!(line >= 1 && line <= text.lines().count()),
            }
        }

        #[test]
        fn round_trip(rows in prop::collection::vec((any::<u64>(), prop::collection::vec(0..LABELS_MAX as u16, 1..5), "[a-z0-9_]{1,9}(/[a-z]{1,5} [a-z])?\\.png"), 0..20), windows: bool) {
            let end = if windows { "\r\n" } else { "\n" };
            let text: String = rows.iter().map(|(index, label, path)| format!("{index}\t{}\t{path}{end}", written(label).replace(' ', "\t"))).collect();
            let parsed = parse(&text).unwrap();
            prop_assert_eq!(parsed.into_iter().map(|row| (row.index, row.labels, row.path)).collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn written_datasets_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let drawn = synthetic::draw(6, 1);
        write(folder.path(), "train", &drawn).unwrap();
        let list = folder.path().join("train.lst");
        let read_back = read(&list, &folder.path().join("train"), Some(&drawn.classes)).unwrap();
        assert_eq!(
            (&read_back.classes, &read_back.samples),
            (&drawn.classes, &drawn.samples)
        );
        assert_eq!(read_back.findings, []);

        let gone = folder.path().join("train").join(&drawn.samples[2].name);
        std::fs::write(&gone, "nonsense").unwrap();
        let error = read::<usize>(&list, &folder.path().join("train"), None)
            .unwrap_err()
            .to_string();
        let named = format!(
            "train.lst line 3: the image {} cannot be used: not a PNG",
            gone.display()
        );
        assert!(error.contains(&named), "{error}");
        std::fs::remove_file(&gone).unwrap();
        let error = read::<usize>(&list, &folder.path().join("train"), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("train.lst line 3: the file ") && error.ends_with("remove the row"),
            "{error}"
        );
    }

    /// A folder with the images `a`, `b` and `c`, and a list.
    fn listed(rows: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (name, shade) in [("a", 1), ("b", 2), ("c", 3)] {
            let image = image::RgbImage::from_pixel(40, 20, image::Rgb([shade; 3]));
            image
                .save_with_format(folder.path().join(name), image::ImageFormat::Png)
                .unwrap();
        }
        let list = folder.path().join("train.lst");
        std::fs::write(&list, rows).unwrap();
        (folder, list)
    }

    #[test]
    fn rows_that_repeat_others_are_reported() {
        let check = |rows: &str, expect: &[&str]| {
            let (folder, list) = listed(rows);
            let read = read::<usize>(&list, folder.path(), None).map_err(|error| vec![error.to_string()]);
            let told = match &read {
                Ok(read) => {
                    // The parts of a split say it once.
                    let found = super::super::check::check(read, Some(&read.subset(&[])), None);
                    found.into_iter().map(|finding| finding.message).collect()
                }
                Err(error) => error.clone(),
            };
            let told: Vec<_> = told
                .iter()
                .map(|told| told.replace(&list.display().to_string(), "LIST"))
                .collect();
            assert_eq!(told, expect, "{rows}");
        };
        check("1\t0\ta\n2\t1\tb\n", &[]);
        check(
            "1\t0\ta\n2\t1\tb\n\n1\t0\ta\n",
            &[
                "LIST: 1 row has the path of an earlier row; keep one of each, so that no image counts more than once: line 4 (a, as line 1)",
            ],
        );
        check(
            "1\t0\ta\n1\t1\tb\n1\t1\tc",
            &[
                "LIST: 2 rows have the index of an earlier row; give each an index of its own: line 2 (b, as line 1), line 3 (c, as line 1)",
            ],
        );
        check(
            "1\t0\ta\n2\t1\tb\n3\t1\t./a\n",
            &["LIST line 3: the path \"./a\" has the label 1 here and 0 on line 1: keep the row with the right one"],
        );
        check(
            "1\t1\ta\n2\t1\tb\n",
            &["all 2 training images of LIST are of one class, 1: add images of another class"],
        );
        check(
            "1\t0\ta\n",
            &["the only training image of LIST is of one class, 0: add images of another class"],
        );
    }

    #[test]
    fn a_column_a_class_makes_sets() {
        let check = |rows: &str, expect: Result<&[&[usize]], &str>| {
            let (folder, list) = listed(rows);
            let read = read::<ClassSet>(&list, folder.path(), None);
            let read = read.map_err(|error| error.to_string().replace(&list.display().to_string(), "LIST"));
            let labels = read.map(|read| -> Vec<ClassSet> { read.samples.into_iter().map(|of| of.label).collect() });
            let expect = expect.map(|sets| sets.iter().map(|set| ClassSet::new(set.iter().copied())).collect());
            assert_eq!(labels, expect.map_err(str::to_owned), "{rows}");
        };
        check("1\t1\t0\t1\ta\n2\t0\t0\t0\tb\n", Ok(&[&[0, 2], &[]]));
        check(
            "1\t1\t0\ta\n2\t1\tb\n",
            Err("LIST line 2: it has 1 label, but there are 2 classes: with multi_label=1 each class has one, 0 or 1"),
        );
        check(
            "1\t1\t0\ta\n2\t1\t4\tb\n",
            Err("LIST line 2: the label 4 of class 1 must be 0 or 1: with multi_label=1 each class has one"),
        );
        check(
            "1\t1\t0\ta\n2\t1\t1\ta\n",
            Err(
                "LIST line 2: the path \"a\" has the label 1 1 here and 1 0 on line 1: keep the row with the right one",
            ),
        );
        let (folder, list) = listed("1\t1\t0\ta\n");
        let error = read::<usize>(&list, folder.path(), None).unwrap_err().to_string();
        let expect = "line 1: it has 2 labels, and one is expected: give each image one, or set multi_label=1";
        assert!(error.ends_with(expect), "{error}");
    }

    #[test]
    fn the_first_row_tells_the_kind() {
        let check = |rows: &[u8], expect: LabelKind| {
            let folder = tempfile::tempdir().unwrap();
            let list = folder.path().join("a.lst");
            std::fs::write(&list, rows).unwrap();
            assert_eq!(kind(&list).unwrap(), expect, "{rows:?}");
        };
        check(b"1\t0\ta\n", LabelKind::Single);
        check(b"1\t0\t1\ta\n", LabelKind::Multi);
        check(b"\xef\xbb\xbf\r\n\n1\t0\t1\t1\ta", LabelKind::Multi);
        check(b"1\t0\ta\n1\t0\t1\ta\n", LabelKind::Single);
        check(b"", LabelKind::Single);
        check(b"\xff\xfe\t\t\t\t", LabelKind::Single);
        assert!(kind(Path::new("/nowhere/a.lst")).is_err());
    }

    #[test]
    fn sets_are_written_as_columns() {
        let folder = tempfile::tempdir().unwrap();
        let drawn = synthetic::draw(3, 1);
        let label = [vec![2], vec![], vec![0, 1]].map(ClassSet::new);
        let samples = drawn.samples.into_iter().zip(label).map(|(sample, label)| Sample {
            image: sample.image,
            label,
            name: sample.name,
        });
        let sets = Dataset {
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            samples: samples.collect(),
            ..Dataset::default()
        };
        write(folder.path(), "train", &sets).unwrap();
        let list = folder.path().join("train.lst");
        let read_back = read::<ClassSet>(&list, &folder.path().join("train"), Some(&sets.classes)).unwrap();
        assert_eq!((read_back.classes, read_back.samples), (sets.classes, sets.samples));
    }

    #[test]
    fn a_list_that_is_too_long_is_not_cut() {
        let (folder, list) = listed("1\t0\ta\n");
        std::fs::OpenOptions::new()
            .write(true)
            .open(&list)
            .unwrap()
            .set_len(LIST_BYTES_MAX + 1)
            .unwrap();
        let error = read::<usize>(&list, folder.path(), None).unwrap_err().to_string();
        let expect = format!(
            "{}: the image list has more than 268435456 bytes: divide it",
            list.display()
        );
        assert_eq!(error, expect);
    }

    #[test]
    fn images_are_fitted_as_they_come() {
        let (folder, list) = listed("1\t0\ta\n2\t1\tb\n");
        let fit = Fit {
            width: 16,
            height: 16,
            resize: Some(18),
        };
        let read = read_fitted::<usize>(&list, folder.path(), None, Some(fit)).unwrap();
        let sizes: Vec<_> = read.samples.iter().map(|sample| sample.image.dimensions()).collect();
        assert_eq!(sizes, [(36, 18); 2]);
    }

    #[test]
    fn names_that_leave_the_folder_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../a.png", "/a.png", "b/c.png", "..", ""] {
            let mut drawn = synthetic::draw(1, 1);
            drawn.samples[0].name = name.to_owned();
            assert!(write(folder.path(), "train", &drawn).is_err(), "{name}");
        }
    }
}
