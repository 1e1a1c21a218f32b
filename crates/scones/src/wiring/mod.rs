//! What each service needs of the others, in its own words.

mod functions;
mod lambda;
mod sagemaker;
mod states;

pub(crate) use lambda::{FunctionLogs, Packages};
pub(crate) use sagemaker::{JobLogs, Objects};
pub(crate) use states::{Datasets, HttpClient, Tasks};
