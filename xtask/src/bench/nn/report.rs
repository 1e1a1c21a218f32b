//! What was measured, for people and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;

/// What training may hold of the memory that PyTorch holds for it.
const MEMORY_SHARE_MAX: f64 = 0.25;

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Comparison>,
    pub(super) accuracy: Vec<Accuracy>,
}

/// One row.
#[derive(Serialize)]
pub(super) struct Comparison {
    pub(super) row: String,
    pub(super) peak_gflops: f64,
    /// Of the best peer's time to ours; nothing without peers.
    pub(super) ratio: Option<Spread>,
    /// The least ratio asked for.
    pub(super) target: f64,
    /// Ours first.
    pub(super) measured: Vec<Measured>,
}

/// One contender of a row.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) milliseconds: Spread,
    pub(super) images_per_second: f64,
    pub(super) gflops: f64,
    pub(super) share_of_peak: f64,
    pub(super) megabytes: f64,
}

/// Relative errors of a network's gradient against double precision.
#[derive(Serialize)]
pub(super) struct Accuracy {
    pub(super) depth: u32,
    pub(super) ours: f64,
    pub(super) torch: f64,
    /// Of all tensors, the greatest ratio of our error to PyTorch's.
    pub(super) worst_tensor: f64,
}

/// The least, the median and the greatest of some values.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Spread([f64; 3]);

impl Spread {
    /// Nothing where there are no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self([*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?]))
    }

    pub(super) fn median(self) -> f64 {
        self.0[1]
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self(self.0.map(|value| value * factor))
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comparison in &self.rows {
            write!(out, "\n{comparison}")?;
        }
        for of in &self.accuracy {
            let Accuracy { depth, ours, torch, .. } = of;
            writeln!(
                out,
                "\ngradient of ResNet-{depth}, relative error against double precision: scones-nn {ours:.2e}, \
                 PyTorch {torch:.2e} ({:.2}x); worst tensor {:.2}x",
                ours / torch,
                of.worst_tensor
            )?;
        }
        Ok(())
    }
}

impl Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.row)?;
        match self.ratio {
            Some(Spread([low, median, high])) => write!(
                out,
                "{median:.2}x ({low:.2}–{high:.2}), target {}: {}",
                self.target,
                verdict(median >= self.target)
            )?,
            None => write!(out, "no peer")?,
        }
        writeln!(out, "; peak {:.0} GFLOP/s", self.peak_gflops)?;
        for of in &self.measured {
            let Spread([low, median, high]) = of.milliseconds;
            writeln!(
                out,
                "  {:12} {median:9.3} ms ({low:.3}–{high:.3}) {:8.1} images/s {:6.1} GFLOP/s {:4.0}% of peak {:6.0} MB",
                of.name,
                of.images_per_second,
                of.gflops,
                100.0 * of.share_of_peak,
                of.megabytes
            )?;
        }
        let megabytes = |name| self.measured.iter().find(|of| of.name == name).map(|of| of.megabytes);
        if let (Some(ours), Some(theirs)) = (megabytes("scones-nn"), megabytes("torch")) {
            let (share, met) = (ours / theirs, verdict(ours <= MEMORY_SHARE_MAX * theirs));
            writeln!(out, "  memory: {share:.2} of torch's, target {MEMORY_SHARE_MAX}: {met}")?;
        }
        Ok(())
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
