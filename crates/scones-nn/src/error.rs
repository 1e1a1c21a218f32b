//! What a caller can get wrong.

/// Why a network could not be built, read, trained or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The architecture asks for something that cannot be built.
    #[error("{field} is {value}, but must be {expected}")]
    Architecture {
        /// The offending field, such as `stages[1].stride`.
        field: String,
        /// What it holds.
        value: usize,
        /// What it may hold.
        expected: String,
    },
    /// No residual network of this depth is defined.
    #[error("depth {depth} is not supported: use 18, 34, 50, 101, 152 or 200, or 6n + 2 such as 20, 32, 44, 56 or 110")]
    Depth {
        /// The depth asked for.
        depth: u32,
    },
    /// A tensor of the architecture was not supplied.
    #[error("tensor {name} is missing")]
    TensorMissing {
        /// Its name.
        name: String,
    },
    /// A buffer has the wrong number of elements.
    #[error("{what} has {got} elements, but must have {expected}")]
    Length {
        /// Which buffer.
        what: String,
        /// How many elements it must have.
        expected: String,
        /// How many it has.
        got: usize,
    },
    /// A buffer holds a number that is infinite, not a number, or outside its
    /// range.
    #[error("{what} holds {value} at index {index}, but must hold {expected}")]
    Value {
        /// Which buffer or setting.
        what: String,
        /// Where in it; 0 for a single number.
        index: usize,
        /// The number found.
        value: f32,
        /// What it may hold.
        expected: &'static str,
    },
    /// A count is out of its range.
    #[error("{what} is {value}, but must be from 1 to {max}")]
    Count {
        /// Which count.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The largest allowed.
        max: usize,
    },
    /// The two networks have different architectures.
    #[error("the networks have different architectures")]
    ArchitectureMismatch,
    /// The loss, a gradient or a statistic of the batch is no longer finite; the
    /// weights were left as they were.
    #[error("training has diverged at loss {loss}; lower the learning rate")]
    Diverged {
        /// The loss of the batch.
        loss: f32,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

/// Fails on the first element of `values` that `accepts` refuses.
pub(crate) fn check_values(
    what: &str,
    values: &[f32],
    expected: &'static str,
    accepts: impl Fn(f32) -> bool,
) -> Result<(), Error> {
    // Folding without an early exit lets the compiler use vectors.
    if values.iter().fold(true, |all, &value| all & accepts(value)) {
        return Ok(());
    }
    let found = values.iter().copied().enumerate().find(|&(_, value)| !accepts(value));
    let (index, value) = found.unwrap_or_default();
    Err(Error::Value {
        what: what.to_owned(),
        index,
        value,
        expected,
    })
}

/// Fails unless `length` is `expected`.
pub(crate) fn check_length(what: &str, length: usize, expected: usize) -> Result<(), Error> {
    if length == expected {
        return Ok(());
    }
    Err(Error::Length {
        what: what.to_owned(),
        expected: expected.to_string(),
        got: length,
    })
}
