//! The members of a gzipped tar archive from a stranger, one after the other, where they lie: none
//! is unpacked to disk, and none is in memory unless it is asked for, with a limit.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use tar::{EntryType, PaxExtensions};

/// Most bytes before a member that say more of it than its header does, such as a long name: that
/// of a path on Linux, and as much again for times and owners.
pub const EXTENSION_BYTES_MAX: u64 = 8192;

/// What can be wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed, or is no gzipped archive.
    #[error("the model archive cannot be read; it may be cut short")]
    Unreadable(#[from] io::Error),
    /// A link or a folder where a file is needed, or a name twice.
    #[error("the model archive's member {0} is no plain file or is there twice")]
    Kind(String),
    /// A member beyond its limit.
    #[error("the model archive's member {name} has over {max} bytes")]
    TooLarge {
        /// Its name.
        name: String,
        /// The limit, in bytes.
        max: u64,
    },
}

type Unpacked<R> = io::Take<GzDecoder<R>>;

/// An archive of which so many unpacked bytes are read and no more.
pub struct Archive<R: Read>(tar::Archive<Unpacked<R>>);

impl<R: Read> Archive<R> {
    /// An archive whose first byte is the next that `packed` gives.
    pub fn new(packed: R, unpacked_max: u64) -> Self {
        Self(tar::Archive::new(GzDecoder::new(packed).take(unpacked_max)))
    }

    /// Its members, in their order, from the first byte on.
    ///
    /// # Errors
    /// If they were asked for before: the stream has no way back.
    pub fn members(&mut self) -> Result<impl Iterator<Item = Result<Member<'_, R>, Error>>, Error> {
        // Not raw, `tar` would read long names whole, however long they are.
        let mut entries = self.0.entries()?.raw(true);
        Ok(std::iter::from_fn(move || next(&mut entries).transpose()))
    }
}

/// A file, folder or link.
pub struct Member<'a, R: Read> {
    /// Its path as it is written; what is no UTF-8 is replaced.
    pub name: String,
    entry: tar::Entry<'a, Unpacked<R>>,
}

impl<R: Read> Member<'_, R> {
    /// Bytes, as its header says.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.size()
    }

    /// Where it ends in the unpacked archive, as its header says.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.entry.raw_file_position().saturating_add(self.size())
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.entry.header().entry_type().is_dir()
    }

    /// Its contents.
    ///
    /// # Errors
    /// Each [`Error`].
    pub fn read(mut self, max: u64) -> Result<Vec<u8>, Error> {
        if !self.entry.header().entry_type().is_file() {
            return Err(Error::Kind(self.name));
        }
        if self.size() > max {
            return Err(Error::TooLarge { name: self.name, max });
        }
        Ok(whole(&mut self.entry)?)
    }
}

/// The next member, with the name that may stand before it.
fn next<'a, R: Read>(entries: &mut tar::Entries<'a, Unpacked<R>>) -> Result<Option<Member<'a, R>>, Error> {
    let mut long = None;
    for entry in entries {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName | EntryType::XHeader => long = name(&mut entry)?.or(long),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => return Err(io::Error::other("it has a sparse member").into()),
            _ => {
                let name = long.unwrap_or_else(|| entry.path_bytes().into_owned());
                let name = String::from_utf8_lossy(&name).into_owned();
                return Ok(Some(Member { name, entry }));
            }
        }
    }
    Ok(None)
}

/// The next member's name, if this is where it stands.
fn name(entry: &mut tar::Entry<'_, impl Read>) -> Result<Option<Vec<u8>>, Error> {
    if entry.size() > EXTENSION_BYTES_MAX {
        let name = "header".to_owned();
        let max = EXTENSION_BYTES_MAX;
        return Err(Error::TooLarge { name, max });
    }
    let mut bytes = whole(entry)?;
    if entry.header().entry_type().is_gnu_longname() {
        bytes.pop_if(|last| *last == 0);
        return Ok(Some(bytes));
    }
    let mut name = None;
    for record in PaxExtensions::new(&bytes) {
        let record = record?;
        match record.key_bytes() {
            b"path" => name = Some(record.value_bytes().to_vec()),
            // Programs write it for members of over 8 GiB, which are more than is read.
            b"size" => return Err(io::Error::other("it has a member of over 8 GiB").into()),
            _ => {}
        }
    }
    Ok(name)
}

fn whole(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    match bytes.len() as u64 == entry.size() {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    type Builder = tar::Builder<GzEncoder<Vec<u8>>>;

    fn names(build: impl FnOnce(&mut Builder)) -> Result<Vec<String>, String> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        build(&mut builder);
        let packed = builder.into_inner().unwrap().finish().unwrap();
        let mut archive = Archive::new(packed.as_slice(), 1 << 30);
        let members = archive
            .members()
            .unwrap()
            .map(|member| member.map(|member| member.name));
        members.collect::<Result<_, _>>().map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })
    }

    fn add(builder: &mut Builder, kind: EntryType, name: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    }

    #[test]
    fn long_names_are_read_however_they_are_written() {
        let long = "folder/".repeat(40) + "model.onnx";
        let gnu = names(|builder| {
            add(builder, EntryType::Regular, &long, b"x");
            add(builder, EntryType::Regular, "short", b"");
        });
        assert_eq!(gnu.unwrap(), [long.as_str(), "short"]);
        let pax = names(|builder| {
            let records = [("mtime", &b"1.5"[..]), ("path", long.as_bytes())];
            builder.append_pax_extensions(records).unwrap();
            add(builder, EntryType::Regular, "folder/cut", b"x");
            add(
                builder,
                EntryType::XGlobalHeader,
                "pax_global_header",
                b"13 comment=x\n",
            );
            add(builder, EntryType::Regular, "short", b"");
        });
        assert_eq!(pax.unwrap(), [long.as_str(), "short"]);
    }

    #[test]
    fn names_without_end_are_not_read() {
        let vast = vec![b'n'; 9000];
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let refused = names(|builder| add(builder, kind, "long", &vast));
            assert!(refused.unwrap_err().contains("member header has over 8192 bytes"));
        }
        let skipped = names(|builder| {
            add(builder, EntryType::GNULongLink, "long", &vast);
            add(builder, EntryType::XGlobalHeader, "all", &vast);
            add(builder, EntryType::Regular, "short", b"");
        });
        assert_eq!(skipped.unwrap(), ["short"]);
        let sized = names(|builder| builder.append_pax_extensions([("size", &b"1"[..])]).unwrap());
        assert!(sized.unwrap_err().contains("over 8 GiB"));
    }
}
