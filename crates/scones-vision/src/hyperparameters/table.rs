//! AWS's table of hyperparameters.

use super::Error;

/// What values a hyperparameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number of at least this.
    Integer(u32),
    /// A number between these, both included.
    Float(f32, f32),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Whole numbers separated by commas.
    Integers,
}

/// One hyperparameter of AWS's table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// AWS's name.
    pub name: &'static str,
    /// Whether a job must send it.
    pub required: bool,
    /// AWS's default; `None` where AWS has none.
    pub aws_default: Option<&'static str>,
    /// Valid values.
    pub kind: Kind,
}

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        required: true,
        aws_default: None,
        kind,
    }
}

const fn optional(name: &'static str, aws_default: Option<&'static str>, kind: Kind) -> Parameter {
    Parameter {
        name,
        required: false,
        aws_default,
        kind,
    }
}

const POSITIVE: Kind = Kind::Integer(1);
const SHARE: Kind = Kind::Float(0.0, 1.0);
const FLAG: Kind = Kind::OneOf(&["0", "1"]);
const LAYERS: Kind = Kind::OneOf(&["18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110"]);

/// Every hyperparameter, with AWS's default and range, in AWS's order.
pub const TABLE: &[Parameter] = &[
    required("num_classes", POSITIVE),
    required("num_training_samples", POSITIVE),
    optional(
        "augmentation_type",
        None,
        Kind::OneOf(&["crop", "crop_color", "crop_color_transform"]),
    ),
    optional("beta_1", Some("0.9"), SHARE),
    optional("beta_2", Some("0.999"), SHARE),
    optional("checkpoint_frequency", None, POSITIVE),
    optional(
        "early_stopping",
        Some("False"),
        Kind::OneOf(&["True", "False", "true", "false"]),
    ),
    optional("early_stopping_min_epochs", Some("10"), POSITIVE),
    optional("early_stopping_patience", Some("5"), POSITIVE),
    optional("early_stopping_tolerance", Some("0.0"), SHARE),
    optional("epochs", Some("30"), POSITIVE),
    optional("eps", Some("1e-8"), SHARE),
    optional("gamma", Some("0.9"), SHARE),
    optional("image_shape", Some("3,224,224"), Kind::Integers),
    optional("kv_store", None, Kind::OneOf(&["dist_sync", "dist_async"])),
    optional("learning_rate", Some("0.1"), SHARE),
    optional("lr_scheduler_factor", Some("0.1"), SHARE),
    optional("lr_scheduler_step", None, Kind::Integers),
    optional("mini_batch_size", Some("32"), POSITIVE),
    optional("momentum", Some("0.9"), SHARE),
    optional("multi_label", Some("0"), FLAG),
    optional("num_layers", Some("152"), LAYERS),
    optional(
        "optimizer",
        Some("sgd"),
        Kind::OneOf(&["sgd", "adam", "rmsprop", "nag"]),
    ),
    optional("precision_dtype", Some("float32"), Kind::OneOf(&["float32", "float16"])),
    optional("resize", None, POSITIVE),
    optional("top_k", None, Kind::Integer(2)),
    optional("use_pretrained_model", Some("0"), FLAG),
    optional("use_weighted_loss", Some("0"), FLAG),
    optional("weight_decay", Some("0.0001"), SHARE),
];

impl Parameter {
    /// Checks one value against the range.
    pub(super) fn check(&self, value: &str) -> Result<(), Error> {
        let valid = match self.kind {
            Kind::Integer(least) => value.trim().parse::<u32>().is_ok_and(|number| number >= least),
            Kind::Float(low, high) => value
                .trim()
                .parse::<f32>()
                .is_ok_and(|number| (low..=high).contains(&number)),
            Kind::OneOf(words) => words.contains(&value.trim()),
            Kind::Integers => value.split(',').all(|part| part.trim().parse::<u32>().is_ok()),
        };
        if valid {
            Ok(())
        } else {
            Err(self.invalid(value, self.kind.describe()))
        }
    }

    /// The error for a value that does not fit.
    pub(super) fn invalid(&self, value: &str, expected: String) -> Error {
        Error::Invalid {
            name: self.name,
            value: value.to_owned(),
            expected,
        }
    }
}

impl Kind {
    fn describe(self) -> String {
        match self {
            Self::Integer(least) => format!("expected a whole number of at least {least}"),
            Self::Float(low, high) => format!("expected a number from {low} to {high}"),
            Self::OneOf(words) => format!("expected one of {}", words.join(", ")),
            Self::Integers => "expected whole numbers separated by commas".to_owned(),
        }
    }
}

/// The known name that is the fewest edits away, if few enough to be a slip, or that has all the
/// words of this one.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let distances = TABLE
        .iter()
        .map(|parameter| (edits(name, parameter.name), parameter.name));
    distances
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| name)
        .or_else(|| longer(name))
}

/// `num_training_samples` for `num_samples`.
fn longer(name: &str) -> Option<&'static str> {
    let has = |known: &str, word: &str| known.split('_').any(|part| part == word);
    let mut names = TABLE.iter().map(|parameter| parameter.name);
    names.find(|known| name.contains('_') && name.split('_').all(|word| has(known, word)))
}

/// Levenshtein's distance between short names.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, letter) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for column in 0..right.len() {
            let substitution = diagonal + usize::from(right[column] != letter);
            diagonal = row[column + 1];
            row[column + 1] = substitution.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
