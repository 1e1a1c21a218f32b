//! The API's operations, one module a family, each with its wire types.

mod activities;
mod aliases;
mod callbacks;
mod encryption;
pub(crate) mod executions;
mod history;
mod included_data;
mod listing;
mod machines;
mod map_runs;
mod tags;
mod test_state;
mod validation;
mod versions;
