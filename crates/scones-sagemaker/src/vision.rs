//! The classifiers of `scones-vision`.

use std::{fs::File, io::BufReader, path::Path, sync::Arc};

use scones_vision::predict;

use crate::external::{Classifier, ClassifyError, ModelLoader};

/// Opens the artefacts that training jobs leave.
#[derive(Debug, Clone, Copy, Default)]
pub struct VisionLoader;

impl ModelLoader for VisionLoader {
    fn load(&self, artefact: &Path) -> Result<Arc<dyn Classifier>, String> {
        let file = File::open(artefact).map_err(|error| error.to_string())?;
        let classifier =
            predict::Classifier::from_artefact(BufReader::new(file)).map_err(|error| error_chain(&error))?;
        Ok(Arc::new(classifier))
    }
}

impl Classifier for predict::Classifier {
    fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        Self::classify(self, image).map_err(|error| match &error {
            predict::Error::Decode(_) => ClassifyError::Image(error_chain(&error)),
            predict::Error::Network(_) => ClassifyError::Internal(error_chain(&error)),
        })
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
