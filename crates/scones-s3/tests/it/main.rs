//! S3 in process and through its HTTP service, over a real store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod crash;
mod http;
mod json;
mod listing;
mod objects;
mod support;
mod uploads;
