//! The forms in which AWS's services take requests and give answers: one
//! module a protocol, each turning HTTP into (operation, JSON) and back.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod query;
pub(crate) mod rest;

pub(crate) use body::{Body, full};
