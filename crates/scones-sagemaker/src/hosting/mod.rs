//! Hosting: models, endpoint configurations, endpoints, inference.
//!
//! - [`model`]: what is deployed.
//! - [`endpoint_config`]: how it is deployed.
//! - [`endpoint`]: the operations on endpoints.
//! - [`deployment`]: what the store keeps of an endpoint.
//! - [`deploy`]: loading an endpoint's models and switching to them.
//! - [`fleet`]: the endpoints that are loaded, as invocations see them.
//! - [`invoke`]: one inference.

pub(crate) mod deploy;
pub(crate) mod deployment;
pub(crate) mod endpoint;
pub(crate) mod endpoint_config;
pub(crate) mod fleet;
pub(crate) mod invoke;
pub(crate) mod model;
