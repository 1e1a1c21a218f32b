//! Unpacked packages: a cache beside the store, one folder a package, named by
//! the package's SHA-256. Functions with the same package share the folder.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use scones_api::ApiError;
use tokio::{runtime::Handle, sync::OnceCell, task::spawn_blocking};

use crate::{
    Options,
    package::{self, PackageError},
};

/// The folders of packages, and who uses them.
pub struct Unpacked {
    folder: PathBuf,
    /// What Python compiled of the packages.
    bytecode: PathBuf,
    uses: Mutex<HashMap<String, Use>>,
    /// A package is in memory while it is unpacked: one at a time.
    unpacking: Arc<tokio::sync::Mutex<()>>,
}

/// A folder that somebody uses.
#[derive(Default)]
struct Use {
    users: usize,
    whole: Arc<OnceCell<()>>,
    /// Whether it goes with its last user.
    forgotten: bool,
}

/// An unpacked package, which stays while this is kept.
pub struct CodeFolder {
    name: String,
    path: PathBuf,
    unpacked: Arc<Unpacked>,
}

impl CodeFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CodeFolder {
    fn drop(&mut self) {
        let mut uses = self.unpacked.uses();
        let Some(found) = uses.get_mut(&self.name) else { return };
        found.users -= 1;
        if found.users > 0 {
            return;
        }
        let forgotten = found.forgotten;
        uses.remove(&self.name);
        drop(uses);
        // Without a runtime the server has ended; its next start sweeps.
        if let Some(runtime) = Handle::try_current().ok().filter(|_| forgotten) {
            let (unpacked, name) = (Arc::clone(&self.unpacked), std::mem::take(&mut self.name));
            drop(runtime.spawn_blocking(move || unpacked.remove(&name)));
        }
    }
}

impl Unpacked {
    /// A cache where `options` say.
    pub fn new(options: &Options) -> Arc<Self> {
        let folder = options.code_folder();
        let names = folder.components().filter(|part| matches!(part, Component::Normal(_)));
        Arc::new(Self {
            bytecode: options.bytecode_folder().join(names.collect::<PathBuf>()),
            folder,
            uses: Mutex::default(),
            unpacking: Arc::default(),
        })
    }

    /// The folder of the package `name`, unpacking what `read` gives if it is
    /// not there.
    ///
    /// # Errors
    /// Those of `read`, and the disk's as internal failures.
    pub async fn folder(
        self: &Arc<Self>,
        name: String,
        read: impl Future<Output = Result<Bytes, ApiError>>,
    ) -> Result<CodeFolder, ApiError> {
        let (folder, whole) = self.enter(name.clone());
        let unpack = || async {
            if tokio::fs::try_exists(&folder.path).await.map_err(ApiError::internal)? {
                return Ok(());
            }
            let one_at_a_time = Arc::clone(&self.unpacking).lock_owned().await;
            let package = read.await?;
            // Unpacking goes on when nobody waits for it any more: the turn
            // and the folder are its own.
            let (target, _) = self.enter(name);
            let unpack = move || {
                let unpacked = unpack_whole(&package, &target);
                drop((target, one_at_a_time));
                unpacked
            };
            spawn_blocking(unpack)
                .await
                .map_err(ApiError::internal)?
                .map_err(ApiError::internal)
        };
        whole.get_or_try_init(unpack).await?;
        Ok(folder)
    }

    /// Begins to use the folder of the package `name`, and what tells whether
    /// it is whole.
    fn enter(self: &Arc<Self>, name: String) -> (CodeFolder, Arc<OnceCell<()>>) {
        let whole = {
            let mut uses = self.uses();
            let found = uses.entry(name.clone()).or_default();
            found.users += 1;
            Arc::clone(&found.whole)
        };
        let folder = CodeFolder {
            path: self.folder.join(&name),
            name,
            unpacked: Arc::clone(self),
        };
        (folder, whole)
    }

    /// Deletes the folder of the package `name`, now or with its last user.
    /// Whoever asks for it again has it unpacked anew.
    pub async fn forget(self: &Arc<Self>, name: String) {
        let unpacked = Arc::clone(self);
        // A panic in there is in the log already.
        let _ended = spawn_blocking(move || unpacked.remove(&name)).await;
    }

    /// Deletes folders other than those of the packages `keep`, what Python
    /// compiled of them, and what an interrupted unpacking left. What is not a
    /// folder was not put there by this server and stays.
    ///
    /// # Errors
    /// The disk's.
    pub async fn sweep(&self, keep: &HashSet<String>) -> io::Result<()> {
        for folder in [&self.folder, &self.bytecode] {
            tokio::fs::create_dir_all(folder).await?;
            let mut entries = tokio::fs::read_dir(folder).await?;
            while let Some(entry) = entries.next_entry().await? {
                let path = entry.path();
                if entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                    continue;
                }
                if !entry.file_type().await?.is_dir() {
                    tracing::warn!(file = %path.display(), "a file among unpacked packages is left alone");
                } else if let Err(error) = tokio::fs::remove_dir_all(&path).await {
                    tracing::warn!(folder = %path.display(), %error, "an unpacked package cannot be deleted");
                }
            }
        }
        Ok(())
    }

    /// Blocks.
    fn remove(&self, name: &str) {
        if let Err(error) = self.try_remove(name) {
            tracing::warn!(package = name, %error, "an unpacked package cannot be deleted; the next start tries again");
        }
    }

    fn try_remove(&self, name: &str) -> io::Result<()> {
        let away = tempfile::Builder::new().prefix("deleting-").tempdir_in(&self.folder)?;
        {
            // Renamed before anyone can begin to use it, deleted afterwards.
            let mut uses = self.uses();
            if let Some(used) = uses.get_mut(name) {
                used.forgotten = true;
                return Ok(());
            }
            match fs::rename(self.folder.join(name), away.path().join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                renamed => renamed?,
            }
        }
        away.close()?;
        match fs::remove_dir_all(self.bytecode.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unpacks beside the target and renames, so that a folder under its name is
/// always whole. Blocks.
fn unpack_whole(package: &Bytes, target: &CodeFolder) -> Result<(), PackageError> {
    // Somebody who left before it was done may have unpacked it.
    if target.path.try_exists()? {
        return Ok(());
    }
    let parent = &target.unpacked.folder;
    fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix("unpacking-").tempdir_in(parent)?;
    package::unpack(package, fresh.path())?;
    make_readable(fresh.path())?;
    fs::rename(fresh.path(), &target.path)?;
    // The folder has moved away: there is nothing left to delete.
    let _moved = fresh.keep();
    Ok(())
}

/// A temporary folder is its owner's alone; a function's code need not be.
#[cfg(unix)]
fn make_readable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        io::{Cursor, Write as _},
    };

    use futures::FutureExt as _;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// A package that takes a while.
    fn package() -> Bytes {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for number in 0..2000 {
            writer
                .start_file(number.to_string(), SimpleFileOptions::default())
                .unwrap();
            writer.write_all(b"x").unwrap();
        }
        writer.finish().unwrap().into_inner().into()
    }

    #[tokio::test]
    async fn who_leaves_while_a_package_is_unpacked_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let unpacked = Unpacked::new(&Options {
            directory: directory.path().to_owned(),
            ..Options::default()
        });
        let (package, name) = (package(), || "package".to_owned());
        let is_read = tokio::sync::Notify::new();
        let read = async {
            is_read.notify_one();
            Ok(package.clone())
        };
        tokio::select! {
            biased;
            _ = unpacked.folder(name(), read) => panic!("it is left"),
            () = is_read.notified() => {}
        }
        unpacked.forget(name()).await;
        let folder = unpacked.folder(name(), ready(Ok(package.clone()))).await.unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 2000);
        // The package may have been unpacked before it was first forgotten.
        unpacked.forget(name()).await;
        drop(folder);
        let gone = async {
            while directory.path().join("code").read_dir().unwrap().count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), gone)
            .await
            .unwrap();
        assert!(unpacked.uses().is_empty());
        assert!(unpacked.unpacking.lock().now_or_never().is_some());
    }
}
