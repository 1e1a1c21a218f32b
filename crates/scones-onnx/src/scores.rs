//! What a model's scores are, and the probabilities that they stand for.

use scones_vision::evaluation::probabilities;
use serde::Deserialize;

/// How far over 1 a probability may be by rounding.
const ROUNDING: f32 = 1e-4;

/// What a model's scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Any numbers; their softmax is answered.
    Logits,
    /// From 0 to 1, answered as they are.
    Probabilities,
}

impl Scores {
    /// The probability of each class, from 0 to 1.
    pub(crate) fn probabilities(self, scores: Vec<f32>) -> Result<Vec<f32>, String> {
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(format!("it gives the score {score}, which is no number to compare"));
        }
        if self == Self::Logits {
            return Ok(probabilities(&scores, scores.len(), 1.0));
        }
        match scores.iter().find(|score| !(0.0..=1.0 + ROUNDING).contains(*score)) {
            None => Ok(scores.into_iter().map(|score| score.min(1.0)).collect()),
            Some(score) => Err(format!(
                "it gives {score} as a probability; if these are logits, say so in model.json: \"scores\": \"logits\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_probability_is_over_one() {
        let check = |kind: Scores, scores: &[f32], expect: Option<&[f32]>| {
            assert_eq!(
                kind.probabilities(scores.to_vec()).ok().as_deref(),
                expect,
                "{scores:?}"
            );
        };
        check(Scores::Probabilities, &[0.25, 0.5], Some(&[0.25, 0.5]));
        check(Scores::Probabilities, &[0.0, 1.000_05], Some(&[0.0, 1.0]));
        check(Scores::Probabilities, &[0.0, 1.1], None);
        check(Scores::Probabilities, &[-0.1, 1.0], None);
        check(Scores::Logits, &[3.0, 3.0], Some(&[0.5, 0.5]));
        check(Scores::Logits, &[3.0, f32::NAN], None);
    }
}
