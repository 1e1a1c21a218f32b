//! The archive around a model: two plain files, gzipped.

use std::io::{self, Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::{DESCRIPTION_BYTES_MAX, Error, WEIGHTS_BYTES_MAX};

pub(super) const DESCRIPTION: &str = "model.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
/// Headers and padding beside the two members.
const OVERHEAD_BYTES_MAX: u64 = 1 << 20;

pub(super) fn write(out: impl Write, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// The description and the weights.
pub(super) fn read(artefact: impl Read) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let all = DESCRIPTION_BYTES_MAX + WEIGHTS_BYTES_MAX + OVERHEAD_BYTES_MAX;
    let mut archive = tar::Archive::new(GzDecoder::new(artefact).take(all));
    let (mut description, mut weights) = (None, None);
    for entry in archive.entries().map_err(Error::Archive)? {
        let mut entry = entry.map_err(Error::Archive)?;
        let path = entry.path_bytes().into_owned();
        match path.strip_prefix(b"./").unwrap_or(&path) {
            b"" if entry.header().entry_type().is_dir() => {}
            b"model.json" => member(&mut entry, DESCRIPTION, DESCRIPTION_BYTES_MAX, &mut description)?,
            b"model.safetensors" => member(&mut entry, WEIGHTS, WEIGHTS_BYTES_MAX, &mut weights)?,
            other => return Err(Error::Member(String::from_utf8_lossy(other).into_owned())),
        }
    }
    Ok((
        description.ok_or(Error::Missing(DESCRIPTION))?,
        weights.ok_or(Error::Missing(WEIGHTS))?,
    ))
}

fn member(
    entry: &mut tar::Entry<'_, impl Read>,
    name: &'static str,
    max: u64,
    into: &mut Option<Vec<u8>>,
) -> Result<(), Error> {
    if !entry.header().entry_type().is_file() || into.is_some() {
        return Err(Error::MemberKind(name));
    }
    let size = entry.size();
    if size > max {
        return Err(Error::TooLarge { member: name, max });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(Error::Archive)?;
    if bytes.len() as u64 != size {
        return Err(Error::Archive(io::ErrorKind::UnexpectedEof.into()));
    }
    *into = Some(bytes);
    Ok(())
}
