//! An ONNX model in memory.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    session::{Session, builder::SessionBuilder},
    value::{Outlet, TensorRef},
};
use scones_vision::{RgbImage, decode, model::DESCRIPTION_BYTES_MAX};

use crate::{
    ClassifyError, Description, Error, MODEL_BYTES_MAX, Runtime, Scores, archive, graph,
    input::{Input, names},
    weights,
};

/// Most classes of a model.
const CLASSES_MAX: usize = 1 << 20;
/// What describes a model, beside it.
const DESCRIPTION: &str = "model.json";

/// A model of another program, ready to answer. One image at a time is computed, on all
/// processors: callers on other threads wait for their turn.
pub struct OnnxClassifier {
    session: Mutex<Session>,
    input: Input,
    output: String,
    kind: Scores,
    classes: Vec<String>,
}

impl OnnxClassifier {
    /// Opens the ONNX file `name` of an artefact.
    pub(crate) fn read(mut artefact: impl Read + Seek, name: &str, runtime: &Runtime) -> Result<Self, Error> {
        let beside = format!("{}{DESCRIPTION}", archive::folder(name));
        let wanted = [(name, MODEL_BYTES_MAX), (&beside, DESCRIPTION_BYTES_MAX)];
        let wanted = wanted.map(|(name, max)| (name.to_owned(), max)).into();
        let mut left = MODEL_BYTES_MAX;
        let mut files = archive::read(&mut artefact, &wanted, &mut left)?;
        let model = files.remove(name).unwrap_or_default();
        let damaged = |problem| Error::Damaged {
            file: name.to_owned(),
            problem,
        };
        let weight_files = graph::weight_files(&model).map_err(damaged)?;
        let described = files.remove(&beside).map(|json| Description::parse(&json));
        let description = described.transpose()?.unwrap_or_default();
        let weights = weights::read(&mut artefact, name, weight_files, left)?;
        let session = session(runtime, &model, weights).map_err(|error| error.of(name))?;
        let input = Input::of(session.inputs(), &description)?;
        let output = output(session.outputs(), description.output.as_deref())?;
        let by_operation = match graph::gives_probabilities(&model, &output).map_err(damaged)? {
            true => Scores::Probabilities,
            false => Scores::Logits,
        };
        let mut classifier = Self {
            session: Mutex::new(session),
            input,
            output,
            kind: description.scores.unwrap_or(by_operation),
            classes: Vec::new(),
        };
        classifier.classes = classifier.try_out(description.classes)?;
        Ok(classifier)
    }

    /// Names of the classes, in the order of the probabilities.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The probability of each class for an encoded PNG or JPEG.
    ///
    /// # Errors
    /// Bytes that are no usable image; a model that fails or answers what is no score.
    pub fn classify(&self, bytes: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        self.classify_image(&decode::decode(bytes)?)
    }

    /// The probability of each class for pixels of any size.
    ///
    /// # Errors
    /// A model that fails or answers what is no score.
    pub fn classify_image(&self, image: &RgbImage) -> Result<Vec<f32>, ClassifyError> {
        let scores = self.scores(image).map_err(ClassifyError::Onnx)?;
        if scores.len() != self.classes.len() {
            let (got, expected) = (scores.len(), self.classes.len());
            return Err(ClassifyError::Onnx(format!(
                "it gives {got} scores for {expected} classes"
            )));
        }
        self.kind.probabilities(scores).map_err(ClassifyError::Onnx)
    }

    /// Classifies a grey image, as a health check would, and gives the classes' names.
    fn try_out(&self, named: Option<Vec<String>>) -> Result<Vec<String>, Error> {
        let (width, height) = self.input.sides();
        let grey = RgbImage::from_pixel(width, height, [128; 3].into());
        let scores = self.scores(&grey).map_err(Error::Output)?;
        let scores = self.kind.probabilities(scores).map_err(Error::Output)?;
        match named {
            Some(classes) if classes.len() != scores.len() => Err(Error::Output(format!(
                "it gives {} scores, and model.json names {} classes",
                scores.len(),
                classes.len()
            ))),
            Some(classes) => Ok(classes),
            None => Ok((0..scores.len()).map(|class| class.to_string()).collect()),
        }
    }

    /// What the model makes of an image.
    fn scores(&self, image: &RgbImage) -> Result<Vec<f32>, String> {
        let pixels = self.input.pixels(image);
        let tensor = TensorRef::from_array_view((self.input.shape(), pixels.as_slice()));
        let tensor = tensor.map_err(|error| error.to_string())?;
        // A panic elsewhere leaves a session as good as it was.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![self.input.name() => tensor]);
        let outputs = outputs.map_err(|error| error.to_string())?;
        let output = outputs.get(&self.output).ok_or("its output is missing")?;
        let (shape, scores) = output
            .try_extract_tensor::<f32>()
            .map_err(|error| format!("its output {} is no tensor of 32-bit floats: {error}", self.output))?;
        let wide = shape.iter().filter(|side| **side != 1).count();
        if wide != 1 || !(2..=CLASSES_MAX).contains(&scores.len()) {
            let output = &self.output;
            return Err(format!(
                "for one image its output {output} has the shape {shape:?}, where [1, CLASSES] is needed, with at least \
                 two classes"
            ));
        }
        Ok(scores.to_vec())
    }
}

/// The output that has the scores.
fn output(outputs: &[Outlet], wanted: Option<&str>) -> Result<String, Error> {
    match (outputs, wanted) {
        (_, Some(wanted)) if outputs.iter().any(|output| output.name() == wanted) => Ok(wanted.to_owned()),
        (_, Some(wanted)) => Err(Error::Output(format!(
            "model.json says \"output\" {wanted:?}, and it has {}",
            names(outputs)
        ))),
        ([output], None) => Ok(output.name().to_owned()),
        (_, None) => Err(Error::Output(format!(
            "it has {} outputs ({}): name one in model.json, \"output\"",
            outputs.len(),
            names(outputs)
        ))),
    }
}

/// Why there is no session: the runtime's absence has words of its own.
enum NoSession {
    Runtime(Error),
    Model(String),
}

impl NoSession {
    fn of(self, model: &str) -> Error {
        match self {
            Self::Runtime(error) => error,
            Self::Model(why) => Error::Refused {
                file: model.to_owned(),
                why,
            },
        }
    }
}

impl<R> From<ort::Error<R>> for NoSession {
    fn from(error: ort::Error<R>) -> Self {
        Self::Model(error.to_string())
    }
}

fn session(runtime: &Runtime, model: &[u8], weights: BTreeMap<String, Arc<[u8]>>) -> Result<Session, NoSession> {
    let environment = runtime.environment().map_err(NoSession::Runtime)?;
    // ONNX Runtime would also take its own format, which nobody has looked through.
    let mut builder: SessionBuilder =
        Session::builder(&environment)?.with_config_entry("session.load_model_format", "ONNX")?;
    // Should it look for a weight on the disk all the same, it is to look where nothing can be.
    builder = builder.with_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")?;
    for (name, bytes) in weights {
        builder = builder.with_external_initializer_file_in_memory(name, bytes)?;
    }
    Ok(builder.commit_from_memory(model)?)
}
