//! When to end because the accuracy no longer rises.

use serde::{Deserialize, Serialize};

use crate::hyperparameters::EarlyStopping;

/// Counts epochs without an improvement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Patience {
    rule: EarlyStopping,
    /// The best accuracy so far.
    best: Option<f64>,
    waited: u32,
}

impl Patience {
    pub(super) fn new(rule: EarlyStopping) -> Self {
        Self {
            rule,
            best: None,
            waited: 0,
        }
    }

    pub(super) fn is_exhausted(&mut self, epoch: u32, accuracy: f64) -> bool {
        let improved = |best: f64| accuracy > best * (1.0 + f64::from(self.rule.tolerance));
        if self.best.is_none_or(improved) {
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        self.best = Some(self.best.map_or(accuracy, |best| best.max(accuracy)));
        epoch + 1 >= self.rule.epochs_min && self.waited >= self.rule.patience
    }
}
