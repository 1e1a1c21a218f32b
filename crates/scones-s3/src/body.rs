//! Bodies on their way in and out, never whole in memory.

use std::{io, ops::Range, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use s3s::crypto::{Checksum as _, Md5};
use scones_api::{ApiError, Timestamp};
use scones_store::{BlobId, BlobReader, BlobWriter, Store};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{
    checksum::{Algorithm, Hasher},
    error::{bad_digest, entity_too_large, incomplete_body},
    records::{BLOB_OWNER, Piece},
};

/// Bytes handed to the blob, or read from it, at a time. Larger than what one
/// read from a socket gives, so that small reads do not make small writes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A body that was received and hashed, but is not kept yet. Dropping it
/// leaves nothing behind.
pub(crate) struct Draft {
    writer: Box<dyn BlobWriter>,
    pub(crate) size: u64,
    md5: [u8; 16],
    /// In base64, the one to keep first.
    checksums: Vec<(Algorithm, String)>,
}

/// A body that is kept.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
    /// In hexadecimal.
    pub(crate) md5: String,
    pub(crate) checksum: String,
}

impl Draft {
    /// Reads `body` to its end, at most `limit` bytes. The checksum that is
    /// kept with it comes from `algorithm`; another one, that the client
    /// declared, can be computed beside it.
    ///
    /// # Errors
    /// `EntityTooLarge`, the body's own error, the store's.
    pub(crate) async fn receive<S>(
        store: &Arc<dyn Store>,
        algorithm: Algorithm,
        declared: Option<Algorithm>,
        limit: u64,
        body: S,
    ) -> Result<Self, ApiError>
    where
        S: Stream<Item = Result<Bytes, ApiError>> + Send,
    {
        let mut body = std::pin::pin!(body);
        let mut writer = store.create_blob(BLOB_OWNER).await?;
        let mut md5 = Md5::new();
        let other = declared.filter(|&declared| declared != algorithm);
        let mut hashers: Vec<_> = [Some(algorithm), other]
            .into_iter()
            .flatten()
            .map(|algorithm| (algorithm, Hasher::new(algorithm)))
            .collect();
        let mut size = 0_u64;
        let mut pending = BytesMut::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            size += bytes.len() as u64;
            if size > limit {
                return Err(entity_too_large());
            }
            md5.update(&bytes);
            for (_, hasher) in &mut hashers {
                hasher.update(&bytes);
            }
            if pending.is_empty() && bytes.len() >= CHUNK_BYTES {
                writer.write(bytes).await?;
                continue;
            }
            pending.extend_from_slice(&bytes);
            if pending.len() >= CHUNK_BYTES {
                writer.write(pending.split().freeze()).await?;
            }
        }
        if !pending.is_empty() {
            writer.write(pending.freeze()).await?;
        }
        Ok(Self {
            writer,
            size,
            md5: md5.finalize(),
            checksums: hashers
                .into_iter()
                .map(|(algorithm, hasher)| (algorithm, hasher.finish()))
                .collect(),
        })
    }

    /// Compares with the length that the client declared.
    ///
    /// # Errors
    /// `IncompleteBody`.
    pub(crate) fn check_size(&self, declared: Option<u64>) -> Result<(), ApiError> {
        match declared {
            Some(size) if size != self.size => Err(incomplete_body()),
            _ => Ok(()),
        }
    }

    /// Compares with a `Content-MD5`.
    ///
    /// # Errors
    /// `InvalidDigest`, `BadDigest`.
    pub(crate) fn check_md5(&self, declared: Option<&str>) -> Result<(), ApiError> {
        let Some(declared) = declared else { return Ok(()) };
        if parse_md5(declared)? == self.md5 {
            Ok(())
        } else {
            Err(bad_digest("Content-MD5"))
        }
    }

    /// Compares with a checksum in base64.
    ///
    /// # Errors
    /// `InvalidRequest` if it is no checksum of that kind, `BadDigest`.
    pub(crate) fn check_checksum(&self, algorithm: Algorithm, declared: &str) -> Result<(), ApiError> {
        algorithm.check_value(declared)?;
        let matches = self
            .checksums
            .iter()
            .any(|(own, value)| *own == algorithm && value == declared);
        if matches {
            Ok(())
        } else {
            Err(bad_digest(algorithm.name()))
        }
    }

    /// A checksum that was computed, in base64.
    pub(crate) fn checksum_of(&self, algorithm: Algorithm) -> String {
        let found = self.checksums.iter().find(|(own, _)| *own == algorithm);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The checksum that is kept, in base64.
    pub(crate) fn checksum(&self) -> String {
        self.checksums
            .first()
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    /// Makes the body durable. From here on somebody has to own the blob.
    pub(crate) async fn keep(self) -> Result<Stored, ApiError> {
        Ok(Stored {
            checksum: self.checksum(),
            blob: self.writer.finish().await?,
            size: self.size,
            md5: hex::encode(self.md5),
        })
    }
}

/// Reads a `Content-MD5`: the base64 of 16 bytes.
///
/// # Errors
/// `InvalidDigest`.
pub(crate) fn parse_md5(text: &str) -> Result<[u8; 16], ApiError> {
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    decoded.ok_or_else(|| ApiError::bad_request("InvalidDigest", "The Content-MD5 you specified is not valid."))
}

/// An object that is open for reading.
pub struct ObjectBody {
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// What the object was put with.
    pub content_type: Option<String>,
    /// When it was put.
    pub last_modified: Timestamp,
    /// The body.
    pub reader: BlobReader,
}

impl ObjectBody {
    /// The whole body, if it is not longer than `limit` bytes.
    ///
    /// # Errors
    /// `EntityTooLarge`.
    pub async fn read(self, limit: u64) -> Result<Bytes, ApiError> {
        if self.size > limit {
            let message = format!(
                "The object has {} bytes, more than the {limit} that can be used here",
                self.size
            );
            return Err(ApiError::bad_request("EntityTooLarge", message));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        let read = self.reader.take(limit).read_to_end(&mut bytes).await;
        match read {
            Ok(length) if length as u64 == self.size => Ok(bytes.into()),
            Ok(length) => Err(ApiError::internal(format!(
                "{length} bytes of {} could be read",
                self.size
            ))),
            Err(error) => Err(ApiError::internal(error)),
        }
    }
}

/// Opens the bytes `range` of a body made of `pieces`. The first piece is
/// opened at once, the others when their turn comes.
///
/// # Errors
/// [`scones_store::Error::NoSuchBlob`] if the object was deleted meanwhile.
pub(crate) async fn open_pieces(
    store: &Arc<dyn Store>,
    pieces: &[Piece],
    range: Range<u64>,
) -> Result<BlobReader, scones_store::Error> {
    let mut cuts = cut(pieces, range).into_iter();
    let Some((blob, range)) = cuts.next() else {
        return Ok(Box::pin(tokio::io::empty()));
    };
    let first = store.open_blob(&blob, range).await?;
    if cuts.len() == 0 {
        return Ok(first);
    }
    let store = Arc::clone(store);
    let rest = stream::iter(cuts).then(move |(blob, range)| {
        let store = Arc::clone(&store);
        async move { store.open_blob(&blob, range).await.map_err(io::Error::other) }
    });
    let bytes = stream::once(async { Ok(first) })
        .chain(rest)
        .map_ok(|reader| ReaderStream::with_capacity(reader, CHUNK_BYTES))
        .try_flatten();
    Ok(Box::pin(StreamReader::new(Box::pin(bytes))))
}

/// Which bytes of which blobs make up `range`.
fn cut(pieces: &[Piece], range: Range<u64>) -> Vec<(BlobId, Range<u64>)> {
    let mut start = 0;
    let mut cuts = Vec::new();
    for piece in pieces {
        let end = start + piece.size;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            cuts.push((piece.blob.clone(), from - start..to - start));
        }
        start = end;
    }
    cuts
}

/// The bytes of a reader, as a body to send or to store.
pub(crate) fn read_stream<R: AsyncRead>(reader: R) -> ReaderStream<R> {
    ReaderStream::with_capacity(reader, CHUNK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_from_the_pieces_that_it_touches() {
        let pieces: Vec<_> = [("a", 3), ("b", 0), ("c", 4)]
            .map(|(name, size)| Piece {
                blob: BlobId(name.to_owned()),
                size,
                part: None,
            })
            .into();
        let check = |range: Range<u64>, expect: &[(&str, Range<u64>)]| {
            let cuts = cut(&pieces, range.clone());
            let cuts: Vec<_> = cuts
                .iter()
                .map(|(blob, range)| (blob.0.as_str(), range.clone()))
                .collect();
            assert_eq!(cuts, expect, "{range:?}");
        };
        check(0..7, &[("a", 0..3), ("c", 0..4)]);
        check(0..3, &[("a", 0..3)]);
        check(2..4, &[("a", 2..3), ("c", 0..1)]);
        check(5..100, &[("c", 2..4)]);
        check(3..3, &[]);
        check(7..9, &[]);
    }
}
