//! Progress as the lines of AWS's built-in algorithm, which people and metric definitions read:
//! `Epoch[3] Validation-accuracy=0.930000`.

use std::time::Duration;

use super::Progress;

/// Batches between two lines of speed, as in AWS's log.
const BATCHES_PER_LINE: usize = 20;

/// Makes log lines of progress. The clock is the caller's.
#[derive(Debug, Clone, Default)]
pub struct LogLines {
    epoch_began: Duration,
    line_printed: Duration,
    images_printed: usize,
}

impl LogLines {
    /// The lines for `progress`, which came `elapsed` after training began; none for most batches.
    ///
    /// `#011` stands for a tab, as in AWS's log.
    pub fn lines(&mut self, progress: &Progress, elapsed: Duration) -> Vec<String> {
        match *progress {
            Progress::Started {
                epoch,
                epochs,
                batches,
                parameters,
            } => {
                self.begin_epoch(elapsed);
                let mut line = format!("Training for {epochs} epochs of {batches} batches, {parameters} parameters");
                if epoch > 0 {
                    line += &format!(", from epoch {epoch} on, where a checkpoint was kept");
                }
                vec![line]
            }
            Progress::Batch {
                epoch,
                batch,
                images,
                accuracy,
                ..
            } => {
                if batch == 0 || !batch.is_multiple_of(BATCHES_PER_LINE) {
                    return Vec::new();
                }
                let seconds = elapsed.saturating_sub(self.line_printed).as_secs_f64().max(1e-6);
                let speed = (images - self.images_printed.min(images)) as f64 / seconds;
                (self.line_printed, self.images_printed) = (elapsed, images);
                vec![format!(
                    "Epoch[{epoch}] Batch [{batch}]#011Speed: {speed:.3} samples/sec#011accuracy={accuracy:.6}"
                )]
            }
            Progress::Epoch {
                epoch,
                accuracy,
                validation,
                ..
            } => {
                let seconds = elapsed.saturating_sub(self.epoch_began).as_secs_f64();
                self.begin_epoch(elapsed);
                let mut lines = vec![
                    format!("Epoch[{epoch}] Train-accuracy={accuracy:.6}"),
                    format!("Epoch[{epoch}] Time cost={seconds:.3}"),
                ];
                if let Some(validation) = validation {
                    lines.push(format!("Epoch[{epoch}] Validation-accuracy={:.6}", validation.accuracy));
                    if let Some((k, share)) = validation.top_k {
                        lines.push(format!("Epoch[{epoch}] Validation-top_k_accuracy_{k}={share:.6}"));
                    }
                }
                lines
            }
        }
    }

    fn begin_epoch(&mut self, elapsed: Duration) {
        *self = Self {
            epoch_began: elapsed,
            line_printed: elapsed,
            images_printed: 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Validation;

    #[test]
    fn lines_are_those_of_aws() {
        let mut log = LogLines::default();
        let mut shown = Vec::new();
        let mut at = |progress: Progress, seconds: f64| {
            shown.extend(log.lines(&progress, Duration::from_secs_f64(seconds)));
        };
        at(
            Progress::Started {
                epoch: 0,
                epochs: 2,
                batches: 25,
                parameters: 9,
            },
            1.0,
        );
        for batch in 0..25 {
            at(
                Progress::Batch {
                    epoch: 0,
                    batch,
                    images: (batch + 1) * 10,
                    loss: 0.5,
                    accuracy: 0.75,
                },
                1.0 + batch as f64 / 10.0,
            );
        }
        let validation = Some(Validation {
            accuracy: 0.93,
            loss: 0.2,
            top_k: Some((2, 1.0)),
        });
        at(
            Progress::Epoch {
                epoch: 0,
                loss: 0.5,
                accuracy: 0.79,
                validation,
            },
            4.5,
        );
        at(
            Progress::Epoch {
                epoch: 1,
                loss: 0.5,
                accuracy: 0.8,
                validation: None,
            },
            6.0,
        );
        insta::assert_snapshot!(shown.join("\n"), @r"
        Training for 2 epochs of 25 batches, 9 parameters
        Epoch[0] Batch [20]#011Speed: 105.000 samples/sec#011accuracy=0.750000
        Epoch[0] Train-accuracy=0.790000
        Epoch[0] Time cost=3.500
        Epoch[0] Validation-accuracy=0.930000
        Epoch[0] Validation-top_k_accuracy_2=1.000000
        Epoch[1] Train-accuracy=0.800000
        Epoch[1] Time cost=1.500
        ");
    }
}
