//! What each service needs of the others, in its own words.

mod keys;
mod lambda;
mod sagemaker;
mod states;

pub(crate) use keys::IamKeys;
pub(crate) use lambda::{FunctionLogs, Packages};
pub(crate) use sagemaker::{JobLogs, Models, Objects};
pub(crate) use states::Tasks;
