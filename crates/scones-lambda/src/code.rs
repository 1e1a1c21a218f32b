//! Where code is kept: the package in the store, unpacked beside it on first
//! use. The unpacked folder is a cache, named by the package's SHA-256.

use std::{
    collections::HashSet,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use scones_api::ApiError;
use scones_store::{BlobId, Store};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::{
    Options,
    configuration::invalid,
    function::Code,
    limits::UNZIPPED_BYTES_MAX,
    package::{self, PackageError},
};

/// Pieces in which a package is handed to the store.
const PIECE_BYTES: usize = 1 << 20;
/// Under which name the store keeps packages.
const BLOB_OWNER: &str = "lambda";
/// Blobs looked at in one step of a sweep.
const SWEEP_PAGE: usize = 1000;

/// Keeps and unpacks deployment packages.
pub struct CodeStore {
    store: Arc<dyn Store>,
    folder: PathBuf,
    /// What Python compiled of the unpacked packages.
    bytecode: PathBuf,
    unpacking: tokio::sync::Mutex<()>,
}

impl CodeStore {
    /// Packages of `store`, unpacked where `options` say.
    pub fn new(store: Arc<dyn Store>, options: &Options) -> Self {
        let folder = options.code_folder();
        let names = folder.components().filter(|part| matches!(part, Component::Normal(_)));
        Self {
            store,
            bytecode: options.bytecode_folder().join(names.collect::<PathBuf>()),
            folder,
            unpacking: tokio::sync::Mutex::new(()),
        }
    }

    /// Checks a package and names it without keeping it.
    ///
    /// # Errors
    /// AWS's `InvalidParameterValueException`.
    pub async fn check(&self, package: Bytes) -> Result<(String, u64), ApiError> {
        let size = package.len() as u64;
        let sha256 = tokio::task::spawn_blocking(move || {
            package::inspect(&package)?;
            Ok(STANDARD.encode(Sha256::digest(&package)))
        })
        .await
        .map_err(ApiError::internal)?
        .map_err(refusal)?;
        Ok((sha256, size))
    }

    /// Checks a package and keeps it. The caller owns the blob.
    ///
    /// # Errors
    /// AWS's `InvalidParameterValueException`.
    pub async fn keep(&self, package: Bytes) -> Result<Code, ApiError> {
        let (sha256, size) = self.check(package.clone()).await?;
        let mut writer = self.store.create_blob("lambda").await?;
        let mut rest = package;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            writer.write(piece).await?;
        }
        let blob = writer.finish().await?;
        Ok(Code { blob, sha256, size })
    }

    /// Deletes a package that no version runs any more. A failure leaves a
    /// blob without an owner and is only logged.
    pub async fn forget(&self, code: &Code) {
        if let Err(error) = self.store.delete_blob(&code.blob).await {
            tracing::warn!(blob = %code.blob, error = &error as &dyn std::error::Error, "a package could not be deleted");
        }
    }

    /// The folder with the unpacked package, unpacking it if it is not there.
    ///
    /// # Errors
    /// The store's and the disk's, as internal failures.
    pub async fn folder(&self, code: &Code) -> Result<PathBuf, ApiError> {
        let folder = self.folder.join(folder_name(code));
        if exists(&folder).await? {
            return Ok(folder);
        }
        let _one_at_a_time = self.unpacking.lock().await;
        if exists(&folder).await? {
            return Ok(folder);
        }
        let package = self.read(code).await?;
        let target = folder.clone();
        let parent = self.folder.clone();
        tokio::task::spawn_blocking(move || unpack_whole(&package, &parent, &target))
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::internal)?;
        Ok(folder)
    }

    /// Deletes packages that a crash kept from being named by a function.
    pub async fn sweep_blobs(&self, in_use: &[&Code]) -> Result<(), scones_store::Error> {
        let keep: HashSet<&BlobId> = in_use.iter().map(|code| &code.blob).collect();
        let mut after: Option<BlobId> = None;
        loop {
            let found = self.store.list_blobs(BLOB_OWNER, after.as_ref(), SWEEP_PAGE).await?;
            for lost in found.iter().filter(|id| !keep.contains(id)) {
                self.store.delete_blob(lost).await?;
            }
            after = found.last().cloned();
            if found.len() < SWEEP_PAGE {
                return Ok(());
            }
        }
    }

    /// Deletes unpacked packages other than those `in_use`, what Python
    /// compiled of them, and what an interrupted unpacking left.
    pub async fn sweep_folders(&self, in_use: &[&Code]) -> io::Result<()> {
        let keep: HashSet<String> = in_use.iter().map(|code| folder_name(code)).collect();
        for folder in [&self.folder, &self.bytecode] {
            tokio::fs::create_dir_all(folder).await?;
            let mut entries = tokio::fs::read_dir(folder).await?;
            while let Some(entry) = entries.next_entry().await? {
                if !entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                    tokio::fs::remove_dir_all(entry.path()).await?;
                }
            }
        }
        Ok(())
    }

    async fn read(&self, code: &Code) -> Result<Bytes, ApiError> {
        let mut reader = self.store.open_blob(&code.blob, 0..code.size).await?;
        let mut bytes = Vec::new();
        (&mut reader)
            .take(UNZIPPED_BYTES_MAX)
            .read_to_end(&mut bytes)
            .await
            .map_err(ApiError::internal)?;
        Ok(bytes.into())
    }
}

/// Unpacks beside the target and renames, so that a folder under its name is
/// always whole.
fn unpack_whole(package: &Bytes, parent: &Path, target: &Path) -> Result<(), PackageError> {
    std::fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix("unpacking-").tempdir_in(parent)?;
    package::unpack(package, fresh.path())?;
    make_readable(fresh.path())?;
    std::fs::rename(fresh.path(), target)?;
    // The folder has moved away: there is nothing left to delete.
    let _moved = fresh.keep();
    Ok(())
}

/// A temporary folder is its owner's alone; a function's code need not be.
#[cfg(unix)]
fn make_readable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> io::Result<()> {
    Ok(())
}

async fn exists(folder: &Path) -> Result<bool, ApiError> {
    tokio::fs::try_exists(folder).await.map_err(ApiError::internal)
}

/// The package's SHA-256 in hexadecimal: base64 may hold a slash.
fn folder_name(code: &Code) -> String {
    STANDARD.decode(&code.sha256).map(hex::encode).unwrap_or_default()
}

fn refusal(error: PackageError) -> ApiError {
    match error {
        PackageError::Empty => invalid("Uploaded file must be a non-empty zip"),
        PackageError::TooLarge => invalid(format!("Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes")),
        PackageError::Unreadable(_) | PackageError::Io(_) => {
            invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
        }
        PackageError::Outside(_) | PackageError::Ambiguous(_) | PackageError::TooMany => invalid(format!(
            "Could not unzip uploaded file. Please check your file, then try to upload again. ({error})"
        )),
    }
}
