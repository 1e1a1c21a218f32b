//! The files of a `model.tar.gz`, read where they lie: nothing is unpacked to disk.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
};

use scones_vision::archive::{self, Archive, Member};

use crate::Error;

/// Most bytes that an artefact unpacks to, whatever it holds beside the model.
pub const ARCHIVE_BYTES_MAX: u64 = 2 << 30;
/// Most bytes of the ONNX file, its description and its weights together.
pub const MODEL_BYTES_MAX: u64 = 1 << 30;
/// The folder that an inference container runs code from.
/// <https://sagemaker.readthedocs.io/en/stable/frameworks/pytorch/using_pytorch.html#model-directory-structure>
const SCRIPTS: &str = "code/";

/// The name of the only `.onnx` file, if there is one.
pub(crate) fn find_model(artefact: &mut (impl Read + Seek)) -> Result<Option<String>, Error> {
    let (mut model, mut script) = (None, None);
    visit(artefact, |name, _| {
        if name.starts_with(SCRIPTS) {
            script.get_or_insert_with(|| name.clone());
        }
        if !is_model(&name) {
            return Ok(());
        }
        match model.replace(name.clone()) {
            Some(first) => Err(Error::Several(format!("{first}, {name}"))),
            None => Ok(()),
        }
    })?;
    match (model, script) {
        (Some(_), Some(script)) => Err(Error::Script(script)),
        (model, _) => Ok(model),
    }
}

/// The contents of those files that are there, by name. Each has a maximum of its own, and all
/// together have no more bytes than are `left`, which are counted down.
pub(crate) fn read(
    artefact: &mut (impl Read + Seek),
    wanted: &BTreeMap<String, u64>,
    left: &mut u64,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::new();
    visit(artefact, |name, member| {
        let Some(max) = wanted.get(&name) else {
            return Ok(());
        };
        if files.contains_key(&name) {
            return Err(archive::Error::Kind(name).into());
        }
        // Its own maximum has better words.
        let counted = member.size().min(*max);
        *left = left.checked_sub(counted).ok_or_else(|| Error::TooLarge {
            what: format!("model with {name}"),
            max: MODEL_BYTES_MAX,
        })?;
        files.insert(name, member.read(*max)?);
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

/// Shows every member but folders, and its plain name.
fn visit<R: Read + Seek>(
    artefact: &mut R,
    mut see: impl FnMut(String, Member<'_, &mut R>) -> Result<(), Error>,
) -> Result<(), Error> {
    artefact.rewind().map_err(archive::Error::Unreadable)?;
    for member in Archive::new(artefact, ARCHIVE_BYTES_MAX).members()? {
        let member = member?;
        if member.end() > ARCHIVE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "content".to_owned(),
                max: ARCHIVE_BYTES_MAX,
            });
        }
        let name = plain(&member.name).ok_or_else(|| Error::Name(member.name.clone()))?;
        if !member.is_folder() {
            see(name, member)?;
        }
    }
    Ok(())
}
