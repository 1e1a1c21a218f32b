//! What can be wrong with an artefact, with the machine, and with an answer.

use std::io;

use scones_vision::{decode::DecodeError, model, predict};

use crate::{LIBRARY_VARIABLE, RUNTIME_VERSION_MIN};

/// Why an artefact is no classifier here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An artefact of Scones's own that cannot be read.
    #[error(transparent)]
    Own(#[from] model::Error),
    /// Neither an artefact of Scones's own nor a model in ONNX.
    #[error(
        "the model archive holds {0:?} and no .onnx file: a model is one .onnx file, or model.json with \
         model.safetensors as Scones makes them"
    )]
    Neither(String),
    /// The stream failed, or is no gzipped archive.
    #[error("the model archive cannot be read; it may be cut short")]
    Archive(#[source] io::Error),
    /// More bytes than are read.
    #[error("the model archive's {what} has over {max} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit, in bytes.
        max: u64,
    },
    /// A name that leads out of the archive.
    #[error("the model archive holds {0:?}, a name that leads out of it")]
    Name(String),
    /// A link, or a name twice, where a file is needed.
    #[error("the model archive's member {0} is no plain file or is there twice")]
    MemberKind(String),
    /// More than one model.
    #[error("the model archive holds several ONNX files ({0}): leave one")]
    Several(String),
    /// Code for an inference container.
    #[error("the model archive holds {0:?}, a script for inference, which is not run here: leave the folder out")]
    Script(String),
    /// Not an ONNX model.
    #[error("{file} is damaged, or no ONNX model that is taken here: {problem}")]
    Damaged {
        /// Its name in the archive.
        file: String,
        /// What was found.
        problem: &'static str,
    },
    /// Weights in a file that the archive does not have.
    #[error("{model} has weights in the file {file:?}, which the model archive does not hold beside it: pack it, too")]
    MissingWeights {
        /// The model.
        model: String,
        /// The file that it names.
        file: String,
    },
    /// Weights in a file somewhere else.
    #[error("{model} has weights in {file:?}, which is no plain path below the model's folder")]
    WeightsElsewhere {
        /// The model.
        model: String,
        /// The path that it names.
        file: String,
    },
    /// `model.json` is malformed.
    #[error("model.json beside the ONNX file is malformed")]
    Description(#[source] serde_json::Error),
    /// `model.json` says something impossible.
    #[error("model.json beside the ONNX file is malformed: {0}")]
    Invalid(String),
    /// ONNX Runtime is not there, or too old.
    #[error(
        "an ONNX model needs ONNX Runtime, which this machine lacks ({why}): install ONNX Runtime \
         {RUNTIME_VERSION_MIN} or newer (`pip install onnxruntime` has it) and name its shared library in \
         {LIBRARY_VARIABLE} when Scones is started"
    )]
    Runtime {
        /// What was tried, and what came of it.
        why: String,
    },
    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime does not take {file}: {why}")]
    Refused {
        /// The model.
        file: String,
        /// ONNX Runtime's words.
        why: String,
    },
    /// Not one image in.
    #[error("the ONNX model does not take an image: {0}")]
    Input(String),
    /// Not one score a class out.
    #[error("the ONNX model does not give one score a class: {0}")]
    Output(String),
}

/// Why an image got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// The bytes are not an image that can be used: the caller's mistake.
    #[error(transparent)]
    Image(DecodeError),
    /// The network failed: the model's mistake.
    #[error(transparent)]
    Own(predict::Error),
    /// ONNX Runtime failed, or the model's answer is none: the model's mistake.
    #[error("the model cannot classify this image: {0}")]
    Onnx(String),
}

impl From<DecodeError> for ClassifyError {
    fn from(error: DecodeError) -> Self {
        Self::Image(error)
    }
}

impl From<predict::Error> for ClassifyError {
    fn from(error: predict::Error) -> Self {
        match error {
            predict::Error::Decode(error) => Self::Image(error),
            error => Self::Own(error),
        }
    }
}
