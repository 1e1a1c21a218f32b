//! S3 in process and through its HTTP service, over a real store.

mod auth;
mod crash;
mod http;
mod listing;
mod objects;
mod support;
mod uploads;
