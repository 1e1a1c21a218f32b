//! What is wrong with a dataset, found before time is spent on training.

use std::collections::HashMap;

use super::{Dataset, Label, LabelKind, Sample};

/// Smallest share of the samples that a class may have, relative to an even share, without a
/// warning.
const BALANCE_MIN: f64 = 0.25;
/// Most file names listed in one finding.
const FILES_SHOWN_MAX: usize = 5;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Training can go on and its numbers can be trusted less.
    Warning,
    /// Training would fail or its result would mean nothing.
    Error,
}

/// What kind of problem was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No samples.
    Empty,
    /// All samples of one class, or of equal sets of classes.
    OneClass,
    /// A class without samples, beside others with some.
    EmptyClass,
    /// A class that every image has, beside others.
    FullClass,
    /// A class with far fewer samples than an even share.
    Imbalance,
    /// Rows of an image list that repeat a path or an index.
    RepeatedRow,
    /// The same pixels more than once under one label.
    Duplicate,
    /// The same pixels under different labels.
    ConflictingLabels,
    /// The same pixels in training and validation.
    Leak,
    /// Images of another size than the network takes.
    Size,
    /// Another number of images than promised.
    Count,
}

/// One problem with the files that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub problem: Problem,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// All files concerned.
    pub files: Vec<String>,
}

/// Checks a training set, and a validation set against it. `image_size` is the width and height
/// that every image must have, or `None` when images are resized anyway. Images are compared by
/// all their pixels. Cost: linear in the pixels.
#[must_use]
pub fn check<L: Label>(
    training: &Dataset<L>,
    validation: Option<&Dataset<L>>,
    image_size: Option<(u32, u32)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for finding in [Some(training), validation]
        .into_iter()
        .flatten()
        .flat_map(|set| &set.findings)
    {
        // The parts of one list have the same.
        if !findings.contains(finding) {
            findings.push(finding.clone());
        }
    }
    classes(training, &mut findings);
    let seen = duplicates("training", training, &mut findings);
    if let Some(validation) = validation {
        duplicates("validation", validation, &mut findings);
        leaks(&seen, validation, &mut findings);
    }
    if let Some(size) = image_size {
        for dataset in [Some(training), validation].into_iter().flatten() {
            sizes(dataset, size, &mut findings);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

type Pixels<'a> = (u32, u32, &'a [u8]);

fn pixels<L>(sample: &Sample<L>) -> Pixels<'_> {
    (sample.image.width(), sample.image.height(), sample.image.as_raw())
}

fn classes<L: Label>(dataset: &Dataset<L>, findings: &mut Vec<Finding>) {
    let mut find = |severity, problem, message: String| {
        findings.push(Finding {
            severity,
            problem,
            message,
            files: Vec::new(),
        });
    };
    if let Some((problem, message)) = lack_of_classes(dataset) {
        return find(Severity::Error, problem, message);
    }
    let (counts, total) = (dataset.class_counts(), dataset.samples.len());
    for (name, &count) in dataset.classes.iter().zip(&counts) {
        if count == 0 {
            let message = format!("class {name} has no training images: add some, or lower num_classes");
            find(Severity::Warning, Problem::EmptyClass, message);
        } else if (count * counts.len()) as f64 / (total as f64) < BALANCE_MIN {
            let message = format!("class {name} has only {count} of {total} training images: add more of them");
            find(Severity::Warning, Problem::Imbalance, message);
        } else if count == total {
            let message = format!("every training image has the class {name}: add some without it");
            find(Severity::Warning, Problem::FullClass, message);
        }
    }
}

/// Why nothing can be learned from a set: it takes images of two labels.
pub(crate) fn lack_of_classes<L: Label>(dataset: &Dataset<L>) -> Option<(Problem, String)> {
    let of_origin = match dataset.origin.as_str() {
        "" => String::new(),
        origin => format!(" of {origin}"),
    };
    let Some(first) = dataset.samples.first() else {
        let message = format!("there are no training images{of_origin}: add some of each class");
        return Some((Problem::Empty, message));
    };
    if dataset.samples.iter().any(|sample| sample.label != first.label) {
        return None;
    }
    let (images, are, have) = match dataset.samples.len() {
        1 => ("the only training image".to_owned(), "is", "has"),
        count => (format!("all {count} training images"), "are", "have"),
    };
    let named = named(&first.label, &dataset.classes);
    let message = match (L::KIND, first.label.classes()) {
        (LabelKind::Single, _) => {
            format!("{images}{of_origin} {are} of one class, {named}: add images of another class")
        }
        (LabelKind::Multi, []) => format!("{images}{of_origin} {have} no class at all: add images that have some"),
        (LabelKind::Multi, _) => {
            format!("{images}{of_origin} {have} the same classes, {named}: add images of others")
        }
    };
    Some((Problem::OneClass, message))
}

/// Finds equal images within one set; returns its images by their pixels.
fn duplicates<'a, L: Label>(
    set: &str,
    dataset: &'a Dataset<L>,
    findings: &mut Vec<Finding>,
) -> HashMap<Pixels<'a>, &'a Sample<L>> {
    let mut groups: HashMap<Pixels<'_>, Vec<&Sample<L>>> = HashMap::new();
    for sample in &dataset.samples {
        groups.entry(pixels(sample)).or_default().push(sample);
    }
    // A file that is listed twice was found when the list was read.
    let several = |group: &&Vec<&Sample<L>>| group.iter().any(|sample| sample.name != group[0].name);
    let mut repeated: Vec<&Vec<&Sample<L>>> = groups.values().filter(several).collect();
    repeated.sort_by_key(|group| &group[0].name);
    let (conflicting, same): (Vec<_>, Vec<_>) = repeated
        .into_iter()
        .partition(|group| group.iter().any(|sample| sample.label != group[0].label));
    let mut find = |groups: Vec<&Vec<&Sample<L>>>, problem, what: &str| {
        let files: Vec<String> = groups
            .iter()
            .flat_map(|group| group.iter().map(|sample| sample.name.clone()))
            .collect();
        if !files.is_empty() {
            let (count, shown) = (groups.len(), shown(&files));
            let occur = if count == 1 { "image occurs" } else { "images occur" };
            let message = format!("{count} {occur} more than once in the {set} set{what}: {shown}");
            findings.push(Finding {
                severity: Severity::Warning,
                problem,
                message,
                files,
            });
        }
    };
    find(
        conflicting,
        Problem::ConflictingLabels,
        " under different labels; keep the right one",
    );
    find(same, Problem::Duplicate, "; keep one of each");
    groups.into_iter().map(|(pixels, group)| (pixels, group[0])).collect()
}

fn leaks<L: Label>(training: &HashMap<Pixels<'_>, &Sample<L>>, validation: &Dataset<L>, findings: &mut Vec<Finding>) {
    let leaked = validation
        .samples
        .iter()
        .filter_map(|sample| Some((sample, *training.get(&pixels(sample))?)));
    let (same, conflicting): (Vec<_>, Vec<_>) = leaked.partition(|(sample, twin)| sample.label == twin.label);
    let mut find = |leaked: &[(&Sample<L>, &Sample<L>)], problem, what: &str, pairs: Vec<String>| {
        let images = match leaked.len() {
            0 => return,
            1 => "1 validation image is also a training image".to_owned(),
            count => format!("{count} validation images are also training images"),
        };
        findings.push(Finding {
            severity: Severity::Warning,
            problem,
            message: format!("{images}{what}: {}", shown(&pairs)),
            files: leaked.iter().map(|(sample, _)| sample.name.clone()).collect(),
        });
    };
    let labelled = |sample: &Sample<L>| format!("{} is {}", sample.name, named(&sample.label, &validation.classes));
    let pairs = conflicting.iter();
    let pairs = pairs.map(|(sample, twin)| format!("{}, {}", labelled(sample), labelled(twin)));
    let what = " under another label; keep the right one";
    find(&conflicting, Problem::ConflictingLabels, what, pairs.collect());
    let pairs = same.iter();
    let pairs = pairs.map(|(sample, twin)| format!("{} (as {})", sample.name, twin.name));
    let what = ", so the validation accuracy will be too high; keep each in one set";
    find(&same, Problem::Leak, what, pairs.collect());
}

fn sizes<L>(dataset: &Dataset<L>, (width, height): (u32, u32), findings: &mut Vec<Finding>) {
    let other = dataset
        .samples
        .iter()
        .filter(|sample| sample.image.dimensions() != (width, height));
    let files: Vec<String> = other.clone().map(|sample| sample.name.clone()).collect();
    if let Some(first) = other.clone().next() {
        let (found_width, found_height) = first.image.dimensions();
        let message = format!(
            "{} of another size than the {width}x{height} pixels (width x height) of image_shape; {} has \
             {found_width}x{found_height}: set image_shape to the images' size, or resize to have them fitted",
            counted(files.len(), "image"),
            first.name
        );
        findings.push(Finding {
            severity: Severity::Error,
            problem: Problem::Size,
            message,
            files,
        });
    }
}

/// The names of the classes of a label.
fn named<L: Label>(label: &L, classes: &[String]) -> String {
    let names: Vec<&str> = label.classes().iter().map(|class| classes[*class].as_str()).collect();
    match names.is_empty() {
        true => "no class".to_owned(),
        false => names.join(", "),
    }
}

/// A number of things: `1 image`, `2 images`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The first of `files`, and how many more there are.
pub(super) fn shown(files: &[String]) -> String {
    let more = files.len().saturating_sub(FILES_SHOWN_MAX);
    let names = files[..files.len() - more].join(", ");
    if more > 0 {
        format!("{names} and {more} more")
    } else {
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    /// A dataset of `NAME LABEL SHADE` words; the shade decides all pixels.
    fn dataset<L: Label>(samples: &[(&str, L, u8)]) -> Dataset<L> {
        let sample = |(name, label, shade): &(&str, L, u8)| Sample {
            image: RgbImage::from_pixel(4, 4, image::Rgb([*shade; 3])),
            label: label.clone(),
            name: (*name).to_owned(),
        };
        Dataset {
            classes: vec!["bike".into(), "moto".into()],
            samples: samples.iter().map(sample).collect(),
            ..Dataset::default()
        }
    }

    fn shown(findings: &[Finding]) -> String {
        findings
            .iter()
            .map(|f| format!("{:?} {:?}: {} {:?}\n", f.severity, f.problem, f.message, f.files))
            .collect()
    }

    #[test]
    fn a_clean_dataset_has_no_findings() {
        let training = dataset(&[("a", 0, 1), ("b", 1, 2)]);
        let validation = dataset(&[("c", 0, 3), ("d", 1, 4)]);
        assert_eq!(check(&training, Some(&validation), Some((4, 4))), []);
    }

    #[test]
    fn findings_name_the_files() {
        let training = dataset(&[("a", 0, 1), ("b", 1, 2), ("c", 0, 2), ("d", 0, 1)]);
        let validation = dataset(&[("v", 1, 2), ("w", 0, 9)]);
        insta::assert_snapshot!(shown(&check(&training, Some(&validation), Some((4, 5)))), @r#"
        Error Size: 4 images of another size than the 4x5 pixels (width x height) of image_shape; a has 4x4: set image_shape to the images' size, or resize to have them fitted ["a", "b", "c", "d"]
        Error Size: 2 images of another size than the 4x5 pixels (width x height) of image_shape; v has 4x4: set image_shape to the images' size, or resize to have them fitted ["v", "w"]
        Warning ConflictingLabels: 1 image occurs more than once in the training set under different labels; keep the right one: b, c ["b", "c"]
        Warning Duplicate: 1 image occurs more than once in the training set; keep one of each: a, d ["a", "d"]
        Warning Leak: 1 validation image is also a training image, so the validation accuracy will be too high; keep each in one set: v (as b) ["v"]
        "#);
    }

    #[test]
    fn a_label_that_differs_between_the_sets_is_told_from_a_leak() {
        let training = dataset(&[("bike/a", 0, 1), ("moto/b", 1, 2)]);
        let validation = dataset(&[("moto/a", 1, 1)]);
        insta::assert_snapshot!(shown(&check(&training, Some(&validation), None)), @r#"Warning ConflictingLabels: 1 validation image is also a training image under another label; keep the right one: moto/a is moto, bike/a is bike ["moto/a"]"#);
    }

    #[test]
    fn sets_of_classes_are_compared_as_a_whole() {
        let set = |classes: &[usize]| super::super::ClassSet::new(classes.iter().copied());
        let found = |samples: &[(&str, &[usize], u8)]| {
            let samples: Vec<_> = samples
                .iter()
                .map(|(name, classes, shade)| (*name, set(classes), *shade))
                .collect();
            shown(&check(&dataset(&samples), None, None))
        };
        assert_eq!(found(&[("a", &[], 1), ("b", &[0, 1], 2), ("c", &[1], 3)]), "");
        assert_eq!(
            found(&[("a", &[0, 1], 1), ("b", &[1], 1), ("c", &[], 3)]),
            "Warning ConflictingLabels: 1 image occurs more than once in the training set under different labels; keep the right one: a, b [\"a\", \"b\"]\n"
        );
        assert_eq!(
            found(&[("a", &[0, 1], 1), ("b", &[1], 2)]),
            "Warning FullClass: every training image has the class moto: add some without it []\n"
        );
        assert_eq!(
            found(&[("a", &[1], 1), ("b", &[], 2)]),
            "Warning EmptyClass: class bike has no training images: add some, or lower num_classes []\n"
        );
        assert_eq!(
            found(&[("a", &[0, 1], 1), ("b", &[0, 1], 2)]),
            "Error OneClass: all 2 training images have the same classes, bike, moto: add images of others []\n"
        );
        assert_eq!(
            found(&[("a", &[], 1)]),
            "Error OneClass: the only training image has no class at all: add images that have some []\n"
        );
    }

    #[test]
    fn one_class_none_and_imbalance() {
        insta::assert_snapshot!(shown(&check(&dataset(&[("a", 1, 1), ("b", 1, 2)]), None, None)), @"Error OneClass: all 2 training images are of one class, moto: add images of another class []");
        insta::assert_snapshot!(shown(&check(&dataset::<usize>(&[]), None, None)), @"Error Empty: there are no training images: add some of each class []");
        let named = |samples| Dataset {
            origin: "photos.lst".into(),
            ..dataset(samples)
        };
        insta::assert_snapshot!(shown(&check(&named(&[("a", 0, 1)]), None, None)), @"Error OneClass: the only training image of photos.lst is of one class, bike: add images of another class []");
        insta::assert_snapshot!(shown(&check(&named(&[]), None, None)), @"Error Empty: there are no training images of photos.lst: add some of each class []");
        let mut rows: Vec<(String, usize, u8)> = (0..20).map(|at| (format!("n{at}"), 0, at)).collect();
        rows.push(("rare".into(), 1, 99));
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, label, shade)| (name.as_str(), *label, *shade))
            .collect();
        insta::assert_snapshot!(shown(&check(&dataset(&rows), None, None)), @"Warning Imbalance: class moto has only 1 of 21 training images: add more of them []");
    }
}
