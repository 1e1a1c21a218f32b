//! The learning rate over the steps of training.

use crate::hyperparameters::Schedule;

/// Share of the steps that warm up.
const WARM_UP: f32 = 0.15;
/// The rate at the very first step, relative to the peak.
const START: f32 = 0.04;

/// The learning rate of step `step` of `steps`, for `steps_per_epoch` steps an epoch.
pub(super) fn learning_rate(schedule: &Schedule, peak: f32, step: usize, steps: usize, steps_per_epoch: usize) -> f32 {
    match schedule {
        Schedule::WarmUpCosine => {
            let progress = (step as f32 + 0.5) / steps.max(1) as f32;
            if progress < WARM_UP {
                return peak * (START + (1.0 - START) * progress / WARM_UP);
            }
            let fall = (progress - WARM_UP) / (1.0 - WARM_UP);
            peak * (1.0 + (std::f32::consts::PI * fall).cos()) / 2.0
        }
        Schedule::Steps { epochs, factor } => {
            let done = step / steps_per_epoch.max(1);
            let passed = epochs.iter().filter(|&&epoch| done >= epoch as usize).count();
            peak * factor.powi(passed as i32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_warms_up_and_falls_to_nothing() {
        let rate = |step| learning_rate(&Schedule::WarmUpCosine, 1.0, step, 1000, 10);
        assert!(rate(0) < 0.05 && (rate(149) - 1.0).abs() < 0.01 && rate(999) < 1e-4);
        assert!((1..150).all(|step| rate(step) > rate(step - 1)));
        assert!((151..1000).all(|step| rate(step) < rate(step - 1)));
    }

    #[test]
    fn steps_multiply_after_each_named_epoch() {
        let schedule = Schedule::Steps {
            epochs: vec![2, 4],
            factor: 0.5,
        };
        let rates: Vec<f32> = (0..6)
            .map(|epoch| learning_rate(&schedule, 0.8, epoch * 10, 60, 10))
            .collect();
        assert_eq!(rates, [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]);
    }
}
