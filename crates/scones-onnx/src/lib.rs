//! Classifiers from any artefact: Scones's own networks, and models of other programs in ONNX.
//!
//! [`Classifier::open`] looks into a `model.tar.gz`. One with an `.onnx` file runs through ONNX
//! Runtime, if this machine has it; any other is `scones-vision`'s. This crate is apart from that
//! one because it loads a library from the disk and calls code that is not Rust. It never links
//! ONNX Runtime, never downloads it, never unpacks an artefact to disk, never lets a model name a
//! file outside of its artefact, and runs no script that an artefact holds.
//!
//! The map, in the order in which an ONNX model passes it:
//! - `archive`: the files of an artefact.
//! - `graph`: what an ONNX file says of itself, read without ONNX Runtime; below it `protobuf`.
//! - [`Description`]: `model.json` beside it, what the file does not say.
//! - [`Runtime`]: the library, found and loaded.
//! - [`OnnxClassifier`]: the model in memory.
#![doc(test(attr(deny(warnings))))]

mod archive;
mod classifier;
mod description;
mod error;
mod graph;
mod onnx;
mod protobuf;
mod runtime;

pub use archive::{ARCHIVE_BYTES_MAX, MODEL_BYTES_MAX};
pub use classifier::Classifier;
pub use description::{Description, Layout, Scores};
pub use error::{ClassifyError, Error};
pub use onnx::OnnxClassifier;
pub use runtime::{LIBRARY_VARIABLE, RUNTIME_VERSION_MIN, Runtime};
