//! Checkpoints of a training process in its folder, for a process that takes its place.

use std::{fs, io, path::PathBuf};

use scones_vision::{dataset::Label, training::Training};

use crate::{training::directory::JobDirectory, vision::error_chain as chain};

pub(super) struct Checkpoints {
    file: PathBuf,
    /// Epochs from one to the next.
    every: u32,
}

impl Checkpoints {
    pub(super) fn new(directory: &JobDirectory, every: u32) -> Self {
        Self {
            file: directory.checkpoint(),
            every: every.max(1),
        }
    }

    /// Goes on from the checkpoint, if there is one; the problem with it otherwise.
    pub(super) fn resume(&self, run: &mut Training<'_, impl Label>) -> Result<(), String> {
        match fs::read(&self.file) {
            Ok(bytes) => run.resume(&bytes).map_err(|error| chain(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("the checkpoint cannot be read: {error}")),
        }
    }

    /// Puts the run's state in the place of the one before, if it is time to.
    pub(super) fn keep(&self, run: &Training<'_, impl Label>) -> Result<(), String> {
        if !run.epochs().is_multiple_of(self.every) {
            return Ok(());
        }
        let bytes = run.checkpoint().to_bytes().map_err(|error| chain(&error))?;
        let unfinished = self.file.with_extension("new");
        let kept = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &self.file));
        kept.map_err(|error| error.to_string())
    }
}
