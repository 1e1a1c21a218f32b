//! The object store, speaking S3: buckets, objects, listings, multipart
//! uploads, checksums and conditional requests, kept as records and blobs of
//! `scones-store`. Other services use it in process through [`S3`]; AWS clients
//! use it through [`S3Http`], the same code behind S3's REST protocol, which
//! the crate `s3s` speaks.
//!
//! It never holds a whole body in memory, never stores a body that is not what
//! the client declared, and never answers success for what it does not do.
//! Its blobs that no record names are swept away at start.

mod body;
mod buckets;
mod checksum;
mod conditions;
mod error;
mod http;
mod limits;
mod listing;
mod multipart;
mod names;
mod objects;
mod records;
mod recovery;
mod service;

pub use body::ObjectBody;
pub use http::{CredentialSource, S3Http};
pub use objects::ObjectSummary;
pub use service::S3;
