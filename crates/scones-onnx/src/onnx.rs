//! An ONNX model in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek},
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    session::{Session, builder::SessionBuilder},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use scones_vision::{RgbImage, decode, evaluation::probabilities, preprocessing::Preprocessing};

use crate::{ClassifyError, Description, Error, Layout, Runtime, Scores, archive, graph};

/// Longest side of a model's input, in pixels.
const INPUT_SIDE_MAX: i64 = 4096;
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
    scores: Scores,
    classes: Vec<String>,
}

/// What a model takes.
#[derive(Debug)]
struct Input {
    name: String,
    preprocessing: Preprocessing,
    layout: Layout,
}

impl OnnxClassifier {
    /// Opens the ONNX file `name` of an artefact.
    pub(crate) fn read(mut artefact: impl Read + Seek, name: &str, runtime: &Runtime) -> Result<Self, Error> {
        let beside = format!("{}{DESCRIPTION}", archive::folder(name));
        let wanted = BTreeSet::from([name.to_owned(), beside.clone()]);
        let mut files = archive::read(&mut artefact, &wanted)?;
        let model = files.remove(name).ok_or_else(|| Error::MemberKind(name.to_owned()))?;
        let damaged = |problem| Error::Damaged {
            file: name.to_owned(),
            problem,
        };
        let weight_files = graph::weight_files(&model).map_err(damaged)?;
        let described = files.remove(&beside).map(|json| Description::parse(&json));
        let description = described.transpose()?.unwrap_or_default();
        let weights = weights(&mut artefact, name, &weight_files)?;
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
            scores: description.scores.unwrap_or(by_operation),
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
        let image = decode::decode(bytes)?;
        let scores = self.scores(&image).map_err(ClassifyError::Onnx)?;
        if scores.len() != self.classes.len() {
            let (got, expected) = (scores.len(), self.classes.len());
            return Err(ClassifyError::Onnx(format!(
                "it gives {got} scores for {expected} classes"
            )));
        }
        self.probabilities(&scores).map_err(ClassifyError::Onnx)
    }

    /// Classifies a grey image, as a health check would, and gives the classes' names.
    fn try_out(&self, named: Option<Vec<String>>) -> Result<Vec<String>, Error> {
        let Preprocessing { width, height, .. } = self.input.preprocessing;
        let grey = RgbImage::from_pixel(width, height, [128; 3].into());
        let scores = self.scores(&grey).map_err(Error::Output)?;
        self.probabilities(&scores).map_err(Error::Output)?;
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
        let outputs = session.run(ort::inputs![self.input.name.as_str() => tensor]);
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

    fn probabilities(&self, scores: &[f32]) -> Result<Vec<f32>, String> {
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(format!("it gives the score {score}, which is no number to compare"));
        }
        match self.scores {
            Scores::Logits => Ok(probabilities(scores, scores.len(), 1.0)),
            Scores::Probabilities => match scores.iter().find(|score| !(0.0..=1.0 + 1e-4).contains(*score)) {
                None => Ok(scores.to_vec()),
                Some(score) => Err(format!(
                    "it gives {score} as a probability; if these are logits, say so in model.json: \"scores\": \"logits\""
                )),
            },
        }
    }
}

impl Input {
    /// The model's only input, if it is an image.
    fn of(inputs: &[Outlet], description: &Description) -> Result<Self, Error> {
        let [input] = inputs else {
            let names: Vec<&str> = inputs.iter().map(Outlet::name).collect();
            let problem = format!("it has {} inputs ({}), not one", names.len(), names.join(", "));
            return Err(Error::Input(problem));
        };
        let refuse = |problem: &str| {
            let (name, kind) = (input.name(), input.dtype());
            Err(Error::Input(format!("its input {name} is {kind}: {problem}")))
        };
        let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
            return refuse("no tensor");
        };
        if *ty != TensorElementType::Float32 {
            return refuse("32-bit floats are needed");
        }
        let [batch, sides @ ..] = shape.iter().as_slice() else {
            return refuse("four dimensions are needed");
        };
        let &[a, b, c] = sides else {
            return refuse("four dimensions are needed: NCHW or NHWC");
        };
        if !matches!(batch, -1 | 1) {
            return refuse("the batch must be 1 or dynamic: export the model so");
        }
        let layout = match (description.layout, a, c) {
            (Some(layout), ..) => layout,
            (None, 3, 3) => return refuse("either side may be the channels: say \"layout\" in model.json"),
            (None, 3, _) => Layout::Nchw,
            (None, _, 3) => Layout::Nhwc,
            (None, ..) => {
                return refuse("no dimension is 3, the channels: say \"layout\" in model.json if one is dynamic");
            }
        };
        let (channels, height, width) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        if !matches!(channels, -1 | 3) {
            return refuse("three channels are needed");
        }
        let side = |name: &str, fixed: i64, said: Option<u32>| match (fixed, said.map(i64::from)) {
            (-1, None) => Err(format!("its {name} is dynamic: say \"{name}\" in model.json")),
            (-1, Some(side)) => Ok(side),
            (side, Some(said)) if side != said => Err(format!("model.json says {name} {said}")),
            (side, _) => Ok(side),
        };
        let sides = side("width", width, description.width)
            .and_then(|width| Ok((width, side("height", height, description.height)?)));
        let (width, height) = match sides {
            Err(problem) => return refuse(&problem),
            Ok(sides) => sides,
        };
        if !(1..=INPUT_SIDE_MAX).contains(&width) || !(1..=INPUT_SIDE_MAX).contains(&height) {
            return refuse(&format!("sides from 1 to {INPUT_SIDE_MAX} are needed"));
        }
        let (width, height) = (width as u32, height as u32);
        if description.resize.is_some_and(|side| side < width.max(height)) {
            return refuse("\"resize\" in model.json is smaller");
        }
        Ok(Self {
            name: input.name().to_owned(),
            preprocessing: Preprocessing {
                width,
                height,
                resize: description.resize,
                mean: description.mean,
                deviation: description.deviation,
            },
            layout,
        })
    }

    fn shape(&self) -> [i64; 4] {
        let Preprocessing { width, height, .. } = self.preprocessing;
        match self.layout {
            Layout::Nchw => [1, 3, height.into(), width.into()],
            Layout::Nhwc => [1, height.into(), width.into(), 3],
        }
    }

    /// An image of any size as the model takes it.
    fn pixels(&self, image: &RgbImage) -> Vec<f32> {
        let fitted = self.preprocessing.fit().apply(image);
        let mut pixels = vec![0.0; self.preprocessing.length()];
        self.preprocessing
            .write(fitted.as_ref().unwrap_or(image), false, &mut pixels);
        match self.layout {
            Layout::Nhwc => pixels,
            Layout::Nchw => (0..3)
                .flat_map(|channel| pixels.iter().skip(channel).step_by(3))
                .copied()
                .collect(),
        }
    }
}

/// The output that has the scores.
fn output(outputs: &[Outlet], wanted: Option<&str>) -> Result<String, Error> {
    let names = || outputs.iter().map(Outlet::name).collect::<Vec<_>>().join(", ");
    match (outputs, wanted) {
        (_, Some(wanted)) if outputs.iter().any(|output| output.name() == wanted) => Ok(wanted.to_owned()),
        (_, Some(wanted)) => Err(Error::Output(format!(
            "model.json says \"output\" {wanted:?}, and it has {}",
            names()
        ))),
        ([output], None) => Ok(output.name().to_owned()),
        (_, None) => Err(Error::Output(format!(
            "it has {} outputs ({}): name one in model.json, \"output\"",
            outputs.len(),
            names()
        ))),
    }
}

/// The contents of the files that the model's weights are in, by the names that it calls them.
fn weights(
    artefact: &mut (impl Read + Seek),
    model: &str,
    named: &BTreeSet<String>,
) -> Result<BTreeMap<String, Arc<[u8]>>, Error> {
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut places = BTreeMap::new();
    for file in named {
        let place = place_of_weights(archive::folder(model), file).ok_or_else(|| Error::WeightsElsewhere {
            model: model.to_owned(),
            file: file.clone(),
        })?;
        places.insert(file, place);
    }
    let files = archive::read(artefact, &places.values().cloned().collect())?;
    let files: BTreeMap<String, Arc<[u8]>> = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    let found = places.into_iter().map(|(file, place)| match files.get(&place) {
        Some(bytes) => Ok((file.clone(), Arc::clone(bytes))),
        None => Err(Error::MissingWeights {
            model: model.to_owned(),
            file: file.clone(),
        }),
    });
    found.collect()
}

/// The member that a model in `folder` means by `file`. ONNX Runtime has names of its own for
/// places in memory, with asterisks, and stops reading a name at a zero: neither is a file's.
fn place_of_weights(folder: &str, file: &str) -> Option<String> {
    let suspect = |letter: char| letter.is_control() || matches!(letter, '*' | '\\');
    let below = archive::plain(file).filter(|below| !below.is_empty() && !file.contains(suspect))?;
    Some(format!("{folder}{below}"))
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
