//! The three functions of the Scones Unlimited workflow: `serializeImageData`
//! reads a photograph from S3, `classifyImageData` asks an endpoint what is on
//! it, `filterInferences` lets only a confident answer pass.
//!
//! Each is a pure function of an event and of what it may ask ([`Services`]).
//! [`run`] puts one behind the Lambda Runtime API, which is the same here and
//! on AWS, so the same handlers are a bootstrap in either place. The loop is
//! blocking and has one connection: a function has one invocation at a time.
//!
//! This crate calls no service itself: [`Services`] are given to it.

mod classify;
mod event;
mod failure;
mod filter;
mod package;
mod runtime;
mod serialize;

pub use failure::{Error, Failure};
pub use package::package;
pub use runtime::run;
use serde_json::Value;

/// The functions' names.
pub const NAMES: [&str; 3] = ["serializeImageData", "classifyImageData", "filterInferences"];

/// What the functions ask of AWS's services.
pub trait Services {
    /// An object of S3.
    ///
    /// # Errors
    /// What S3 says.
    fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure>;

    /// An endpoint's answer.
    ///
    /// # Errors
    /// What SageMaker says.
    fn invoke_endpoint(&self, endpoint: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Failure>;
}

/// What a function's environment configures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `ENDPOINT`: the endpoint that classifies, unless an event names one.
    pub endpoint: Option<String>,
    /// `THRESHOLD`: the confidence that must be exceeded; 0.93 without it.
    pub threshold: Option<f64>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A `THRESHOLD` that is not a number between 0 and 1.
    pub fn from_environment() -> Result<Self, Error> {
        let threshold = match std::env::var("THRESHOLD") {
            Err(_) => None,
            Ok(text) => match text.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Some(number),
                _ => return Err(Error::Threshold(text)),
            },
        };
        Ok(Self {
            endpoint: std::env::var("ENDPOINT").ok().filter(|name| !name.is_empty()),
            threshold,
        })
    }
}

/// Handles one event with the function `name`.
///
/// # Errors
/// [`Failure`], which AWS shows as errorType and errorMessage.
pub fn handle(name: &str, event: &Value, settings: &Settings, services: &dyn Services) -> Result<Value, Failure> {
    match name {
        "serializeImageData" => serialize::handle(event, services),
        "classifyImageData" => classify::handle(event, settings, services),
        "filterInferences" => filter::handle(event, settings),
        _ => Err(Failure::new(
            "UnknownFunction",
            format!("`{name}` is none of {}", NAMES.join(", ")),
        )),
    }
}
