//! The classifiers of `scones-vision` and `scones-onnx`.

use std::{path::Path, sync::Arc};

use scones_onnx::Runtime;

use crate::external::{Classifier, ClassifyError, ModelLoader};

/// Opens the artefacts that training jobs leave, and those with a model in ONNX.
#[derive(Debug, Clone, Default)]
pub struct VisionLoader {
    /// What runs models in ONNX.
    pub runtime: Runtime,
}

impl ModelLoader for VisionLoader {
    fn load(&self, artefact: &Path) -> Result<Arc<dyn Classifier>, String> {
        let classifier = scones_onnx::Classifier::open(artefact, &self.runtime).map_err(|error| error_chain(&error))?;
        Ok(Arc::new(classifier))
    }
}

impl Classifier for scones_onnx::Classifier {
    fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        Self::classify(self, image).map_err(|error| match &error {
            scones_onnx::ClassifyError::Image(_) => ClassifyError::Image(error_chain(&error)),
            scones_onnx::ClassifyError::Own(_) | scones_onnx::ClassifyError::Onnx(_) => {
                ClassifyError::Internal(error_chain(&error))
            }
        })
    }

    fn concurrency(&self) -> usize {
        Self::concurrency(self)
    }
}

/// An error and all its causes, each said once.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
