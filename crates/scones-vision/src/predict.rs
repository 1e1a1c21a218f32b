//! Answers to images, from many threads at once.

use std::{
    io::Read,
    sync::{Mutex, PoisonError},
};

use image::RgbImage;
use rayon::prelude::*;
use scones_nn::{Inference, Scratch};

use crate::{
    dataset::{Dataset, Label, LabelKind},
    decode::{self, DecodeError},
    evaluation::probabilities_of,
    model::{self, Model},
    preprocessing::Preprocessing,
};

/// Most workspaces kept for reuse.
const SPARE_MAX: usize = 64;

/// Why an image got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not an image that can be used: the caller's mistake.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The network failed: the model's mistake.
    #[error("the model cannot classify this image")]
    Network(#[from] scones_nn::Error),
}

/// A model ready to answer. Shared by reference among any number of threads; each call computes on
/// the calling thread.
pub struct Classifier {
    inference: Inference,
    preprocessing: Preprocessing,
    classes: Vec<String>,
    labels: LabelKind,
    temperature: f32,
    mirror_averaging: bool,
    spare: Mutex<Vec<Workspace>>,
}

/// Buffers for one image: the input as it is and mirrored, and the network's own.
struct Workspace {
    input: Vec<f32>,
    logits: Vec<f32>,
    scratch: Scratch,
}

impl Classifier {
    /// Makes a model ready to answer. Costs a copy of the weights.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        Self {
            inference: model.network.compile(),
            preprocessing: model.preprocessing.clone(),
            classes: model.classes.clone(),
            labels: model.labels,
            temperature: model.temperature,
            mirror_averaging: model.mirror_averaging,
            spare: Mutex::new(Vec::new()),
        }
    }

    /// Reads `model.tar.gz`.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn from_artefact(artefact: impl Read) -> Result<Self, model::Error> {
        Ok(Self::new(&Model::read(artefact)?))
    }

    /// Names of the classes, in the order of the probabilities.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether an image has one class, so that the probabilities sum to 1, or any number of them,
    /// each with a probability of its own.
    #[must_use]
    pub fn labels(&self) -> LabelKind {
        self.labels
    }

    /// The probability of each class for an encoded PNG or JPEG.
    ///
    /// # Errors
    /// Bytes that are no usable image; a network whose numbers overflow.
    pub fn classify(&self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        self.classify_image(&decode::decode(bytes)?)
    }

    /// The probability of each class for pixels of any size.
    ///
    /// # Errors
    /// A network whose numbers overflow.
    pub fn classify_image(&self, image: &RgbImage) -> Result<Vec<f32>, Error> {
        Ok(self.probabilities(&self.logits(image)?))
    }

    /// The probabilities of each class for each image of a dataset, row by row, computed on all
    /// threads of the current pool of rayon.
    ///
    /// # Errors
    /// As [`classify_image`](Self::classify_image).
    pub fn classify_all(&self, images: &Dataset<impl Label>) -> Result<Vec<f32>, Error> {
        Ok(self.probabilities(&self.all_logits(images)?))
    }

    fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        probabilities_of(self.labels, logits, self.classes.len(), self.temperature)
    }

    /// As [`logits`](Self::logits), for each image of a dataset.
    ///
    /// # Errors
    /// A network whose numbers overflow.
    pub fn all_logits(&self, images: &Dataset<impl Label>) -> Result<Vec<f32>, scones_nn::Error> {
        let rows: Result<Vec<_>, _> = images
            .samples
            .par_iter()
            .map(|sample| self.logits(&sample.image))
            .collect();
        Ok(rows?.concat())
    }

    /// The network's answer before temperature and softmax or sigmoids, averaged over the image and
    /// its mirror image if the model wants that.
    ///
    /// # Errors
    /// A network whose numbers overflow.
    pub fn logits(&self, image: &RgbImage) -> Result<Vec<f32>, scones_nn::Error> {
        let fitted = self.preprocessing.fit().apply(image);
        let image = fitted.as_ref().unwrap_or(image);
        let mut workspace = self.take();
        let Workspace { input, logits, scratch } = &mut workspace;
        let views = logits.len() / self.classes.len();
        for (view, out) in input.chunks_exact_mut(self.preprocessing.length()).enumerate() {
            self.preprocessing.write(image, view == 1, out);
        }
        self.inference.logits(input, views, scratch, logits)?;
        let mean = |class| logits.iter().skip(class).step_by(self.classes.len()).sum::<f32>() / views as f32;
        let answer = (0..self.classes.len()).map(mean).collect();
        self.give_back(workspace);
        Ok(answer)
    }

    fn take(&self) -> Workspace {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| {
            let views = if self.mirror_averaging { 2 } else { 1 };
            Workspace {
                input: vec![0.0; views * self.preprocessing.length()],
                logits: vec![0.0; views * self.classes.len()],
                // One worker: the views run one after the other on the calling thread.
                scratch: self.inference.scratch(1),
            }
        })
    }

    fn give_back(&self, workspace: Workspace) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::synthetic, model::Provenance};
    use scones_nn::{Architecture, Network, Shape};

    fn classifier() -> Classifier {
        let input = Shape {
            height: 32,
            width: 32,
            channels: 3,
        };
        let network = Network::new(Architecture::resnet(8, input, 2).unwrap(), 3).unwrap();
        let preprocessing = Preprocessing {
            width: 32,
            height: 32,
            resize: None,
            mean: [0.5; 3],
            deviation: [0.25; 3],
        };
        Classifier::new(&Model {
            network,
            classes: synthetic::CLASSES.map(str::to_owned).to_vec(),
            labels: LabelKind::Single,
            preprocessing,
            temperature: 0.5,
            mirror_averaging: true,
            provenance: Provenance::default(),
        })
    }

    fn png(image: &RgbImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn many_threads_get_the_answers_of_one() {
        let classifier = classifier();
        let images: Vec<Vec<u8>> = synthetic::draw(12, 1)
            .samples
            .iter()
            .map(|sample| png(&sample.image))
            .collect();
        let expect: Vec<_> = images.iter().map(|bytes| classifier.classify(bytes).unwrap()).collect();
        assert!(expect.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
        assert!(expect.iter().any(|row| *row != expect[0]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let answers: Vec<_> = images.iter().map(|bytes| classifier.classify(bytes).unwrap()).collect();
                    assert_eq!(answers, expect);
                });
            }
        });
    }

    #[test]
    fn a_mirrored_image_gets_the_same_answer_and_any_size_gets_one() {
        let classifier = classifier();
        let drawn = &synthetic::draw(1, 2).samples[0].image;
        let mirrored = image::imageops::flip_horizontal(drawn);
        let (one, other) = (classifier.logits(drawn).unwrap(), classifier.logits(&mirrored).unwrap());
        assert!(
            one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-4),
            "{one:?} {other:?}"
        );
        for (width, height) in [(1, 1), (200, 31), (33, 400), (1, 900)] {
            let resized = RgbImage::new(width, height);
            assert_eq!(classifier.classify(&png(&resized)).unwrap().len(), 2);
        }
        assert!(matches!(
            classifier.classify(b"text"),
            Err(Error::Decode(DecodeError::UnknownFormat(_)))
        ));
    }
}
