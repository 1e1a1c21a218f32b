//! The files of a `model.tar.gz`, read where they lie: nothing is unpacked to disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek},
};

use flate2::read::GzDecoder;

use crate::Error;

/// Most bytes that an artefact unpacks to, whatever it holds beside the model.
pub const ARCHIVE_BYTES_MAX: u64 = 2 << 30;
/// Most bytes of the ONNX file, its description and its weights together.
pub const MODEL_BYTES_MAX: u64 = 1 << 30;
/// The folder that an inference container runs code from.
/// <https://sagemaker.readthedocs.io/en/stable/frameworks/pytorch/using_pytorch.html#model-directory-structure>
const SCRIPTS: &str = "code/";

/// The name of the only `.onnx` file, if there is one. An artefact without is not looked at further.
pub(crate) fn find_model(artefact: &mut (impl Read + Seek)) -> Result<Option<String>, Error> {
    let (mut models, mut script) = (Vec::new(), None);
    visit(artefact, |name, _| {
        if is_model(name) {
            models.push(name.to_owned());
        }
        if name.starts_with(SCRIPTS) {
            script = Some(name.to_owned());
        }
        Ok(())
    })?;
    match (models.len(), script) {
        (0, _) => Ok(None),
        (1, None) => Ok(models.pop()),
        (1, Some(script)) => Err(Error::Script(script)),
        _ => Err(Error::Several(models.join(", "))),
    }
}

/// The contents of those files that are there, by name.
pub(crate) fn read(
    artefact: &mut (impl Read + Seek),
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::new();
    let mut left = MODEL_BYTES_MAX;
    visit(artefact, |name, entry| {
        if !wanted.contains(name) {
            return Ok(());
        }
        if !entry.header().entry_type().is_file() || files.contains_key(name) {
            return Err(Error::MemberKind(name.to_owned()));
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| Error::TooLarge {
            what: format!("model with {name}"),
            max: MODEL_BYTES_MAX,
        })?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(Error::Archive)?;
        if bytes.len() as u64 != size {
            return Err(Error::Archive(io::ErrorKind::UnexpectedEof.into()));
        }
        files.insert(name.to_owned(), bytes);
        Ok(())
    })?;
    Ok(files)
}

/// The folder of a file, with the slash at its end; empty for a file in none.
pub(crate) fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}

/// A path without `.` and empty parts, if it leads nowhere but down.
pub(crate) fn plain(path: &str) -> Option<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    (!path.starts_with('/') && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// What macOS's `tar` adds beside `model.onnx` is called `._model.onnx` and is none.
fn is_model(name: &str) -> bool {
    let file = &name[folder(name).len()..];
    let extension = file.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) && !file.starts_with("._")
}

/// Shows every member but folders, by its plain name.
fn visit<R: Read + Seek>(
    artefact: &mut R,
    mut see: impl FnMut(&str, &mut tar::Entry<'_, io::Take<GzDecoder<&mut R>>>) -> Result<(), Error>,
) -> Result<(), Error> {
    artefact.rewind().map_err(Error::Archive)?;
    let mut archive = tar::Archive::new(GzDecoder::new(artefact).take(ARCHIVE_BYTES_MAX));
    let mut unpacked = 0_u64;
    for entry in archive.entries().map_err(Error::Archive)? {
        let mut entry = entry.map_err(Error::Archive)?;
        unpacked = unpacked.saturating_add(entry.size());
        if unpacked > ARCHIVE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "content".to_owned(),
                max: ARCHIVE_BYTES_MAX,
            });
        }
        let written = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = plain(&written).ok_or(Error::Name(written))?;
        if !entry.header().entry_type().is_dir() {
            see(&name, &mut entry)?;
        }
    }
    Ok(())
}
