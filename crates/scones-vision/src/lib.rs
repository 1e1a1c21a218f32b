//! Image datasets, the classifier, its training and evaluation, and the model artefact.
//!
//! This crate turns labelled images into a calibrated classifier and back into answers. It reads
//! what it is given (a path, a stream, bytes) and computes. It never opens a connection, never
//! reads the clock, never draws a random number that a seed argument does not decide, never runs
//! code from a data file, and prints nothing: progress is handed to the caller as values.
//!
//! The map, in the order in which data flows:
//!
//! - [`decode`]: bytes of a PNG or JPEG to pixels, within limits.
//! - [`dataset`]: labelled images in memory, their file formats, drawn examples, and checks.
//! - [`hyperparameters`]: the contract of SageMaker's built-in image-classification algorithm.
//! - [`preprocessing`]: from an image of any size to the network's input.
//! - [`training`]: augmentation, the training loop, its progress and AWS's log lines.
//! - [`evaluation`]: accuracy with its uncertainty, calibration, stratified folds.
//! - [`model`]: the trained model and its file, `model.tar.gz`.
//! - [`archive`]: the members of an archive, within limits.
//! - [`predict`]: answers to images, shared by many threads.
//! - [`backbone`]: the network that ships with the program, and how it was trained.
//! - [`random`]: the seeded generator below all of it.
#![doc(test(attr(deny(warnings))))]

pub mod archive;
pub mod backbone;
pub mod dataset;
pub mod decode;
pub mod evaluation;
pub mod hyperparameters;
pub mod model;
pub mod predict;
pub mod preprocessing;
pub mod random;
pub mod training;

pub use image::RgbImage;
