//! SageMaker: training jobs, models, endpoint configurations, endpoints, inference and data
//! capture, with the built-in image classification algorithm. It never runs a container, never
//! answers an operation that it does not perform, and knows no HTTP: `scones-aws` turns requests
//! into calls of [`SageMaker`], by name through [`scones_api::JsonService`] or, for bodies that
//! are not JSON, by [`SageMaker::invoke_endpoint`].
//!
//! The map:
//! - [`Options`] and [`limits`]: what can be set, and what cannot be exceeded.
//! - `service`: start, shutdown, the table of operations.
//! - `training`: jobs, as child processes that outlive a restart of the server.
//! - [`worker`]: the other side, what such a child process does.
//! - `hosting`: models, endpoint configurations, endpoints, inference.
//! - `capture`: requests and answers into S3.
//! - `resource`: what the records of all these have in common; `tags`: their tags.
//! - [`Dependencies`]: S3, logs and classifiers as this service needs them.
//! - `member`, `listing`, `location`, `image_uri`, `draws`: what the operations share.

mod capture;
mod draws;
mod error;
mod external;
mod hosting;
mod image_uri;
pub mod limits;
mod listing;
mod location;
mod member;
mod options;
mod resource;
mod service;
mod tags;
mod training;
mod vision;
pub mod worker;

pub use error::Error;
pub use external::{Classifier, ClassifyError, Dependencies, LogSink, ModelLoader, ObjectStore, ObjectSummary};
pub use hosting::invoke::{Inference, InvokeEndpoint, InvokeError, ModelError, oversize_body};
pub use options::{CaptureOptions, Options};
pub use service::SageMaker;
pub use vision::VisionLoader;
