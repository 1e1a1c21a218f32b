//! AWS at the edge: signatures, the wire protocols, and the one port behind
//! which every service is found by the scope of the request's signature.
//!
//! It never decides what an operation does: a service behind it takes JSON or
//! bytes and gives JSON or bytes.

mod auth;
mod lambda;
mod lambda_unbuilt;
mod limits;
mod protocol;
mod router;
mod s3;
mod sagemaker_runtime;
mod server;
pub mod sigv4;

pub use router::{HEALTH_PATH, Router, Services};
pub use s3::IamSecrets;
pub use server::Server;
