//! `model.json` beside an ONNX file: what the file does not say.

use std::collections::HashSet;

use scones_vision::decode::IMAGE_SIDE_MAX;
use serde::Deserialize;

use crate::{Error, Scores, error::shown};

/// Mean of red, green and blue over ImageNet's photographs: most published models expect it.
/// <https://docs.pytorch.org/vision/stable/models.html>
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What a model's author may say; everything has a default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// Names of the classes, in the order of the scores. Default: `"0"`, `"1"`, …
    pub classes: Option<Vec<String>>,
    /// Width of the input in pixels. Default: the model's, if that is fixed.
    pub width: Option<u32>,
    /// Height of the input in pixels. Default: the model's, if that is fixed.
    pub height: Option<u32>,
    /// The shortest side is fitted to this many pixels before the middle is cut out. Default: an
    /// image is fitted to just cover the input.
    pub resize: Option<u32>,
    /// Taken from each channel, whose values go from 0 to 1. Default: ImageNet's.
    pub mean: [f32; 3],
    /// Standard deviation: each channel is divided by it. Default: ImageNet's.
    pub std: [f32; 3],
    /// The order of the input's dimensions. Default: by which of them is 3.
    pub layout: Option<Layout>,
    /// Which of several outputs has the scores. Default: the only one.
    pub output: Option<String>,
    /// What the scores are. Default: probabilities if the model's last operation is a softmax or a
    /// sigmoid, logits if not.
    pub scores: Option<Scores>,
}

/// The order of the input's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

impl Default for Description {
    fn default() -> Self {
        Self {
            classes: None,
            width: None,
            height: None,
            resize: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            layout: None,
            output: None,
            scores: None,
        }
    }
}

impl Description {
    /// Reads `model.json`.
    ///
    /// # Errors
    /// Malformed or unknown members, impossible values.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let description: Self = serde_json::from_slice(json).map_err(Error::Description)?;
        description.validate().map_err(Error::Invalid)?;
        Ok(description)
    }

    fn validate(&self) -> Result<(), String> {
        for (name, side) in [("width", self.width), ("height", self.height), ("resize", self.resize)] {
            if side.is_some_and(|side| side == 0 || side > IMAGE_SIDE_MAX) {
                return Err(format!("{name} must be from 1 to {IMAGE_SIDE_MAX} pixels"));
            }
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err("mean must be finite".to_owned());
        }
        if !self.std.iter().all(|std| std.is_normal() && *std > 0.0) {
            return Err("std must be above 0".to_owned());
        }
        let classes = self.classes.as_deref().unwrap_or_default();
        let mut seen = HashSet::new();
        match classes.iter().find(|class| !seen.insert(class.as_str())) {
            Some(twice) => Err(format!("the class {:?} is there twice", shown(twice))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(Description::parse(b"{}").unwrap(), Description::default());
        let said = Description::parse(
            br#"{"classes": ["cat", "dog"], "width": 64, "height": 32, "resize": 72, "mean": [0, 0, 0],
                "std": [1, 1, 1], "layout": "NHWC", "output": "scores", "scores": "probabilities"}"#,
        );
        let expect = Description {
            classes: Some(vec!["cat".into(), "dog".into()]),
            width: Some(64),
            height: Some(32),
            resize: Some(72),
            mean: [0.0; 3],
            std: [1.0; 3],
            layout: Some(Layout::Nhwc),
            output: Some("scores".into()),
            scores: Some(Scores::Probabilities),
        };
        assert_eq!(said.unwrap(), expect);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, expect) in [
            ("", "EOF"),
            ("7", "expected struct"),
            (r#"{"Classes": []}"#, "unknown field `Classes`"),
            (r#"{"classes": ["a", "b", "a"]}"#, "the class \"a\" is there twice"),
            (r#"{"width": 0}"#, "width must be from 1 to 8192"),
            (r#"{"height": -1}"#, "invalid value"),
            (r#"{"resize": 9000}"#, "resize must be from 1 to 8192"),
            (r#"{"mean": [0.5]}"#, "invalid length 1"),
            (r#"{"mean": [1e40, 0, 0]}"#, "mean must be finite"),
            (r#"{"std": [1, 0, 1]}"#, "std must be above 0"),
            (r#"{"std": [1, -1, 1]}"#, "std must be above 0"),
            (r#"{"layout": "CHW"}"#, "unknown variant `CHW`"),
            (r#"{"scores": "softmax"}"#, "unknown variant `softmax`"),
        ] {
            let error = Description::parse(json.as_bytes()).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error}: {}", cause.unwrap_or_default());
            assert!(text.contains(expect), "{json}: {text}");
        }
    }
}
