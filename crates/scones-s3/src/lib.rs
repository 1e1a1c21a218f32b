//! The object store, speaking S3.
