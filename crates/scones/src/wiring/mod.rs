//! What each service needs of the others, in its own words.

mod function_logs;
mod functions;
mod lambda;
mod sagemaker;
mod states;

pub(crate) use function_logs::FunctionLogs;
pub(crate) use lambda::Packages;
pub(crate) use sagemaker::{JobLogs, Objects};
pub(crate) use states::{Datasets, HttpClient, Tasks};
