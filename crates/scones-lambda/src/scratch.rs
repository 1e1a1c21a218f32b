//! A worker's own temporary folder.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
};

use tokio::{runtime::Handle, task::spawn_blocking};

/// A folder that goes with its worker, never on a thread that must not wait.
/// What a server's end leaves is swept at the next start.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder in `parent`.
    ///
    /// # Errors
    /// The disk's.
    pub async fn create(parent: &Path) -> io::Result<Self> {
        let parent = parent.to_owned();
        let create = move || tempfile::Builder::new().prefix("worker-").tempdir_in(parent);
        let folder = spawn_blocking(create).await.map_err(io::Error::other)??;
        Ok(Self(folder.keep()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether `process` sees this folder as its `/tmp`, as a launcher may show
    /// it on Linux.
    #[cfg(target_os = "linux")]
    pub async fn is_tmp_of(&self, process: u32) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let seen = tokio::fs::metadata(format!("/proc/{process}/root/tmp")).await;
        let own = tokio::fs::metadata(&self.0).await;
        seen.ok()
            .zip(own.ok())
            .is_some_and(|(seen, own)| (seen.dev(), seen.ino()) == (own.dev(), own.ino()))
    }

    /// Elsewhere `/tmp` is the machine's.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_async, reason = "it waits for the disk on Linux")]
    pub async fn is_tmp_of(&self, _: u32) -> bool {
        false
    }

    /// Deletes the folder and waits until it is gone.
    pub async fn delete(&mut self) {
        let path = mem::take(&mut self.0);
        // A panic in there is in the log already.
        let _ended = spawn_blocking(move || remove(&path)).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = mem::take(&mut self.0);
        if path.as_os_str().is_empty() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::debug!(folder = %path.display(), %error, "a worker's folder stays until the next start");
    }
}
