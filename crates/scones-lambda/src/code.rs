//! Where code is kept: the package in the store, unpacked beside it on first
//! use.

use std::{collections::HashSet, io, sync::Arc};

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
    unpacked::{CodeFolder, Unpacked},
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
    unpacked: Arc<Unpacked>,
}

impl CodeStore {
    /// Packages of `store`, unpacked where `options` say.
    pub fn new(store: Arc<dyn Store>, options: &Options) -> Self {
        Self {
            store,
            unpacked: Unpacked::new(options),
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

    /// Deletes a package that no version runs any more, and its folder when no
    /// worker uses it. A failure leaves a blob without an owner and is only
    /// logged.
    pub async fn forget(&self, code: &Code) {
        if let Err(error) = self.store.delete_blob(&code.blob).await {
            tracing::warn!(blob = %code.blob, error = &error as &dyn std::error::Error, "a package could not be deleted");
        }
        self.unpacked.forget(folder_name(code)).await;
    }

    /// The folder with the unpacked package, unpacking it if it is not there.
    ///
    /// # Errors
    /// The store's and the disk's, as internal failures.
    pub async fn folder(&self, code: &Code) -> Result<CodeFolder, ApiError> {
        self.unpacked.folder(folder_name(code), self.read(code)).await
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

    /// Deletes unpacked packages other than those `in_use`.
    ///
    /// # Errors
    /// The disk's.
    pub async fn sweep_folders(&self, in_use: &[&Code]) -> io::Result<()> {
        let keep = in_use.iter().map(|code| folder_name(code)).collect();
        self.unpacked.sweep(&keep).await
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
