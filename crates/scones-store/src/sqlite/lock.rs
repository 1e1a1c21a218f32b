//! One process per data directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

use crate::Error;

/// The file that is locked; it holds the process's number.
const FILE: &str = "lock";

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
            .open(directory.join(FILE))?;
        lock(&mut file, directory)?;
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Locks `directory` as long as it is looked at, and changes nothing in
    /// it; gives none where nobody ever locked it.
    pub(super) fn acquire_existing(directory: &Path) -> Result<Option<Self>, Error> {
        let mut file = match File::open(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        lock(&mut file, directory)?;
        Ok(Some(Self { _file: file }))
    }
}

fn lock(file: &mut File, directory: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
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
