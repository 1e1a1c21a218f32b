//! The archive around a model: two plain files, gzipped.

use std::io::{self, Read, Write};

use flate2::{Compression, write::GzEncoder};

use super::{DESCRIPTION_BYTES_MAX, Error, WEIGHTS_BYTES_MAX};
use crate::archive::{self, Archive};

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
    let (mut description, mut weights) = (None, None);
    for member in Archive::new(artefact, all).members()? {
        let member = member?;
        let (into, max) = match member.name.strip_prefix("./").unwrap_or(&member.name) {
            "" if member.is_folder() => continue,
            DESCRIPTION => (&mut description, DESCRIPTION_BYTES_MAX),
            WEIGHTS => (&mut weights, WEIGHTS_BYTES_MAX),
            other => return Err(Error::Member(other.to_owned())),
        };
        if into.is_some() {
            return Err(archive::Error::Kind(member.name).into());
        }
        *into = Some(member.read(max)?);
    }
    Ok((
        description.ok_or(Error::Missing(DESCRIPTION))?,
        weights.ok_or(Error::Missing(WEIGHTS))?,
    ))
}
