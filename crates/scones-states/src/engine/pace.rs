//! Where the interpreter's steps are computed.

use scones_asl::Machine;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Computes a step. Most take microseconds and are made right here; an
/// expression in JSONata may take seconds, so that everything else that waits
/// for this thread moves to another one first.
pub(crate) fn step<T>(machine: &Machine, step: impl FnOnce() -> T) -> T {
    compute(machine.uses_jsonata(), step)
}

/// Computes something that takes long if it `uses_jsonata`.
pub(crate) fn compute<T>(uses_jsonata: bool, compute: impl FnOnce() -> T) -> T {
    let has_others = Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread;
    if uses_jsonata && has_others {
        block_in_place(compute)
    } else {
        compute()
    }
}
