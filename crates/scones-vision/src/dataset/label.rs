//! What an image is labelled with: one class, or any number of them.
//!
//! The kind is part of the type: `Dataset` is one of single labels, `Dataset<ClassSet>` one of
//! sets, and nothing mixes them. Files write both with numbers, which mean different things:
//! one number that is a class, or one number a class that is 0 or 1.

use std::{fmt::Debug, hash::Hash};

use serde::{Deserialize, Serialize};

/// Labels are below this, and an image has at most as many: a wrong column cannot ask for a vast
/// network.
pub const LABELS_MAX: usize = 10_000;

/// Whether an image has one class or any number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// Exactly one.
    #[default]
    Single,
    /// None, one or several: AWS's `multi_label`.
    Multi,
}

/// The label of an image: `usize`, its class, or [`ClassSet`], its classes.
pub trait Label: Clone + Debug + Eq + Hash + Ord + Send + Sync {
    /// Which of the two.
    const KIND: LabelKind;

    /// The classes that the image has, ascending.
    fn classes(&self) -> &[usize];

    /// The label of these numbers, as image lists and RecordIO files write it, among so many
    /// classes.
    ///
    /// # Errors
    /// Numbers that are none.
    fn from_columns(columns: &[u16], classes: usize) -> Result<Self, Problem>;

    /// The label as an augmented manifest writes it, among so many classes.
    ///
    /// # Errors
    /// A value that is none.
    fn from_value(value: &Written, format: LabelFormat, classes: usize) -> Result<Self, Problem>;

    /// The label of all images in the folder of a class; nothing if a folder does not say enough.
    fn from_folder(class: usize) -> Option<Self>;

    /// The numbers that [`from_columns`](Self::from_columns) reads.
    fn to_columns(&self, classes: usize) -> Vec<u16>;

    /// How many classes these numbers tell of, where nothing else does.
    fn count_classes<'a>(rows: impl Iterator<Item = &'a [u16]>) -> usize;

    /// The label that these probabilities, one a class, speak for.
    fn answer(probabilities: &[f32]) -> Self;
}

/// The classes of an image, ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClassSet(Box<[usize]>);

/// How an augmented manifest writes sets of classes: the `label-format` of its content type.
///
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html#IC-augmented-manifest-training>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelFormat {
    /// A list of 0 and 1, one a class.
    #[default]
    MultiHot,
    /// A list of the classes, as Ground Truth writes it.
    ClassId,
}

impl LabelFormat {
    /// By AWS's name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "multi-hot" => Some(Self::MultiHot),
            "class-id" => Some(Self::ClassId),
            _ => None,
        }
    }
}

/// A label as it is written in an augmented manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// One number.
    Number(u16),
    /// A list of numbers.
    List(Vec<u16>),
}

/// Why numbers are no label, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing that could be a class.
    #[error("the label {0} is not a whole number from 0 to {max}", max = LABELS_MAX - 1)]
    Number(String),
    /// More numbers than there can be classes.
    #[error("it has {0} labels, and an image has at most {LABELS_MAX}")]
    TooMany(usize),
    /// A class beyond those that there are.
    #[error("the label {label} is not one of the {classes} classes, which are numbered from 0")]
    Class {
        /// The number.
        label: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A set in the place of one class.
    #[error("it has {0} labels, and one is expected: give each image one, or set multi_label=1")]
    Several(usize),
    /// Not one number a class.
    #[error(
        "it has {}, but there are {classes} classes: with multi_label=1 each class has one, 0 or 1",
        super::check::counted(*.labels, "label")
    )]
    Count {
        /// How many numbers.
        labels: usize,
        /// How many classes.
        classes: usize,
    },
    /// A number that says neither yes nor no.
    #[error("the label {label} of class {class} must be 0 or 1: with multi_label=1 each class has one")]
    Flag {
        /// The class.
        class: usize,
        /// The number.
        label: u16,
    },
    /// One number in the place of a list.
    #[error("the label {0} is no list: with multi_label=1 an image has a list of labels, such as [1, 0]")]
    NoList(u16),
    /// A list of classes with one twice.
    #[error("the label names the class {0} twice: name each class once")]
    Twice(usize),
}

fn class(label: u16, classes: usize) -> Result<usize, Problem> {
    let label = usize::from(label);
    match label < classes {
        true => Ok(label),
        false => Err(Problem::Class { label, classes }),
    }
}

impl Label for usize {
    const KIND: LabelKind = LabelKind::Single;

    fn classes(&self) -> &[usize] {
        std::slice::from_ref(self)
    }

    fn from_columns(columns: &[u16], classes: usize) -> Result<Self, Problem> {
        match columns {
            [only] => class(*only, classes),
            several => Err(Problem::Several(several.len())),
        }
    }

    fn from_value(value: &Written, _: LabelFormat, classes: usize) -> Result<Self, Problem> {
        match value {
            Written::Number(number) => class(*number, classes),
            Written::List(numbers) => Self::from_columns(numbers, classes),
        }
    }

    fn from_folder(class: usize) -> Option<Self> {
        Some(class)
    }

    fn to_columns(&self, _: usize) -> Vec<u16> {
        vec![*self as u16]
    }

    fn count_classes<'a>(rows: impl Iterator<Item = &'a [u16]>) -> usize {
        rows.flatten().max().map_or(0, |highest| usize::from(*highest) + 1)
    }

    fn answer(probabilities: &[f32]) -> Self {
        crate::evaluation::best(probabilities)
    }
}

impl ClassSet {
    /// The set of these classes, in any order.
    pub fn new(classes: impl IntoIterator<Item = usize>) -> Self {
        let mut classes: Vec<usize> = classes.into_iter().collect();
        classes.sort_unstable();
        classes.dedup();
        Self(classes.into())
    }

    /// Whether a class is among them.
    #[must_use]
    pub fn contains(&self, class: usize) -> bool {
        self.0.binary_search(&class).is_ok()
    }
}

impl Label for ClassSet {
    const KIND: LabelKind = LabelKind::Multi;

    fn classes(&self) -> &[usize] {
        &self.0
    }

    fn from_columns(columns: &[u16], classes: usize) -> Result<Self, Problem> {
        if columns.len() != classes {
            let labels = columns.len();
            return Err(Problem::Count { labels, classes });
        }
        if let Some((class, &label)) = columns.iter().enumerate().find(|(_, label)| **label > 1) {
            return Err(Problem::Flag { class, label });
        }
        let present = columns.iter().enumerate().filter(|(_, label)| **label == 1);
        Ok(Self(present.map(|(class, _)| class).collect()))
    }

    fn from_value(value: &Written, format: LabelFormat, classes: usize) -> Result<Self, Problem> {
        match (value, format) {
            (Written::Number(number), _) => Err(Problem::NoList(*number)),
            (Written::List(flags), LabelFormat::MultiHot) => Self::from_columns(flags, classes),
            (Written::List(numbers), LabelFormat::ClassId) => {
                let named = numbers.iter().map(|number| class(*number, classes));
                let mut named: Vec<usize> = named.collect::<Result<_, _>>()?;
                named.sort_unstable();
                match named.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(twice) => Err(Problem::Twice(twice[0])),
                    None => Ok(Self(named.into())),
                }
            }
        }
    }

    fn from_folder(_: usize) -> Option<Self> {
        None
    }

    fn to_columns(&self, classes: usize) -> Vec<u16> {
        (0..classes).map(|class| u16::from(self.contains(class))).collect()
    }

    fn count_classes<'a>(mut rows: impl Iterator<Item = &'a [u16]>) -> usize {
        rows.next().map_or(0, <[u16]>::len)
    }

    /// Those that are as likely as not, and likelier.
    fn answer(probabilities: &[f32]) -> Self {
        let likely = probabilities.iter().enumerate().filter(|(_, share)| **share >= 0.5);
        Self(likely.map(|(class, _)| class).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown<T: Debug>(read: Result<T, Problem>) -> String {
        read.map_or_else(|problem| problem.to_string(), |label| format!("{label:?}"))
    }

    #[test]
    fn columns_are_a_class_or_one_flag_each() {
        let single = |columns: &[u16], expect: &str| assert_eq!(shown(usize::from_columns(columns, 3)), expect);
        single(&[2], "2");
        single(
            &[3],
            "the label 3 is not one of the 3 classes, which are numbered from 0",
        );
        single(
            &[0, 1, 0],
            "it has 3 labels, and one is expected: give each image one, or set multi_label=1",
        );
        let multi = |columns: &[u16], expect: &str| assert_eq!(shown(ClassSet::from_columns(columns, 3)), expect);
        multi(&[1, 0, 1], "ClassSet([0, 2])");
        multi(&[0, 0, 0], "ClassSet([])");
        multi(
            &[1, 0, 2],
            "the label 2 of class 2 must be 0 or 1: with multi_label=1 each class has one",
        );
        multi(
            &[1],
            "it has 1 label, but there are 3 classes: with multi_label=1 each class has one, 0 or 1",
        );
        multi(
            &[1, 0, 1, 0],
            "it has 4 labels, but there are 3 classes: with multi_label=1 each class has one, 0 or 1",
        );
    }

    #[test]
    fn values_of_manifests_follow_their_format() {
        use LabelFormat::{ClassId, MultiHot};
        let list = |numbers: &[u16]| Written::List(numbers.to_vec());
        let check = |value: Written, format: LabelFormat, expect: &str| {
            assert_eq!(shown(ClassSet::from_value(&value, format, 3)), expect, "{value:?}");
        };
        check(list(&[1, 0, 1]), MultiHot, "ClassSet([0, 2])");
        check(list(&[2, 0]), ClassId, "ClassSet([0, 2])");
        check(list(&[]), ClassId, "ClassSet([])");
        check(
            list(&[]),
            MultiHot,
            "it has 0 labels, but there are 3 classes: with multi_label=1 each class has one, 0 or 1",
        );
        check(
            list(&[0, 3]),
            ClassId,
            "the label 3 is not one of the 3 classes, which are numbered from 0",
        );
        check(
            list(&[1, 1]),
            ClassId,
            "the label names the class 1 twice: name each class once",
        );
        check(
            Written::Number(1),
            ClassId,
            "the label 1 is no list: with multi_label=1 an image has a list of labels, such as [1, 0]",
        );
        let single = |value: Written, expect: &str| assert_eq!(shown(usize::from_value(&value, MultiHot, 3)), expect);
        single(Written::Number(1), "1");
        single(list(&[2]), "2");
        single(
            list(&[1, 0, 0]),
            "it has 3 labels, and one is expected: give each image one, or set multi_label=1",
        );
    }

    #[test]
    fn probabilities_speak_for_a_label() {
        assert_eq!(usize::answer(&[0.2, 0.7, 0.1]), 1);
        assert_eq!(ClassSet::answer(&[0.2, 0.5, 0.9]).classes(), [1, 2]);
        assert_eq!(ClassSet::answer(&[0.2, 0.4]).classes(), [0; 0]);
    }

    proptest! {
        #[test]
        fn columns_read_back(classes in prop::collection::vec(0_usize..9, 0..12)) {
            let set = ClassSet::new(classes);
            prop_assert_eq!(ClassSet::from_columns(&set.to_columns(9), 9), Ok(set));
        }
    }
}
