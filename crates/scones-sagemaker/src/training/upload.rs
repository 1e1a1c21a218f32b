//! A job's model folder into S3.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use super::directory::JobDirectory;
use crate::{external::ObjectStore, location::Location};

/// Uploads the model folder to `place`: one archive, or each file when `place` is a folder.
/// Whether there was anything to upload.
///
/// # Errors
/// A failure reason.
pub(crate) async fn model(
    objects: &dyn ObjectStore,
    directory: &JobDirectory,
    place: &Location,
) -> Result<bool, String> {
    let failed = |error: &dyn std::fmt::Display| format!("ClientError: Artifact upload failed: {place}: {error}");
    let paths = directory.clone();
    let files = blocking(move || files(&paths.model()))
        .await
        .map_err(|error| failed(&error))?;
    if files.is_empty() {
        return Ok(false);
    }
    if place.key.ends_with('/') {
        for (name, path) in files {
            let to = place.below(&name);
            let uploaded = objects
                .upload(&to.bucket, &to.key, "application/octet-stream", &path)
                .await;
            uploaded.map_err(|error| failed(&error))?;
        }
        return Ok(true);
    }
    let archive = directory.artefact();
    let to = archive.clone();
    blocking(move || pack(&files, &to))
        .await
        .map_err(|error| failed(&error))?;
    let uploaded = objects
        .upload(&place.bucket, &place.key, "application/x-tar", &archive)
        .await;
    uploaded.map_err(|error| failed(&error))?;
    Ok(true)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The files below a folder with their relative names, in order. Links are not followed.
fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inside) = open.pop() {
        for entry in std::fs::read_dir(&inside)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = path.strip_prefix(folder).map_err(io::Error::other)?;
                found.push((name.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The same files give the same archive: times and owners are left out.
fn pack(files: &[(String, PathBuf)], to: &Path) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(File::create(to)?, Compression::fast()));
    for (name, path) in files {
        let file = File::open(path)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, file)?;
    }
    archive.into_inner()?.finish()?.sync_all()
}
