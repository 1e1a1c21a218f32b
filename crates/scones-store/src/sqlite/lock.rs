//! One process per data directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use crate::Error;

/// An advisory lock on a data directory. The system releases it when the
/// process ends, however it ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks `directory` or says who has it.
    pub(super) fn acquire(directory: &Path) -> Result<Self, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                write!(file, "{}", std::process::id())?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is a help to people only: without it the error still stands.
                let _ = file.read_to_string(&mut holder);
                Err(Error::InUse {
                    directory: directory.to_owned(),
                    process: holder.trim().parse().ok(),
                })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
