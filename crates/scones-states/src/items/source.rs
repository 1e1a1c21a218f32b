//! The bytes of an object, piece by piece, unpacked if they are packed.

use std::{io::Write as _, mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures::TryStreamExt as _;
use scones_asl::event::Failure;

use super::{Location, failed};
use crate::objects::{ObjectBody, ObjectStore};

/// What a gzip file begins with (RFC 1952, section 2.3.1). No text does.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What a Zstandard frame begins with (RFC 8878, section 3.1.1).
const ZSTANDARD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// UTF-8's byte order mark, which is no part of the text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// The longest of the above.
const HEAD_BYTES: usize = 4;
/// Packed bytes that are unpacked at a time: at most about a thousand times
/// as many come out.
const PACKED_BYTES: usize = 4_096;

/// An object that is being read.
pub(super) struct Source {
    pub(super) location: Location,
    body: ObjectBody,
    /// What was read of the body, and not yet given out.
    read: Bytes,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
}

impl Source {
    pub(super) async fn open(objects: &Arc<dyn ObjectStore>, location: Location) -> Result<Self, Failure> {
        let opened = objects.open(&location.bucket, &location.key, 0).await;
        let (_, body) = opened.map_err(|error| failed(location.refused(&error)))?;
        let mut source = Self {
            location,
            body,
            read: Bytes::new(),
            gzip: None,
        };
        let mut head = BytesMut::new();
        while head.len() < HEAD_BYTES {
            match source.piece().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        source.read = head.freeze();
        if source.read.starts_with(GZIP) {
            source.gzip = Some(MultiGzDecoder::new(Vec::new()));
        } else if source.read.starts_with(ZSTANDARD) {
            return Err(source.wrong("is packed with Zstandard, which Scones does not read"));
        } else if source.read.starts_with(BYTE_ORDER_MARK) {
            source.read = source.read.slice(BYTE_ORDER_MARK.len()..);
        }
        Ok(source)
    }

    /// The next bytes, at least one; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if self.read.is_empty() {
                match self.piece().await? {
                    Some(piece) => self.read = piece,
                    None => return self.last(),
                }
            }
            let Some(gzip) = &mut self.gzip else {
                return Ok(Some(mem::take(&mut self.read)));
            };
            let packed = self.read.split_to(self.read.len().min(PACKED_BYTES));
            let unpacked = gzip.write_all(&packed).map(|()| mem::take(gzip.get_mut()));
            match unpacked {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes.into())),
                Err(error) => return Err(self.wrong(format_args!("cannot be unpacked: {error}"))),
            }
        }
    }

    /// What is left when the body has ended.
    fn last(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(mut gzip) = self.gzip.take() else {
            return Ok(None);
        };
        match gzip.try_finish() {
            Ok(()) => Ok(Some(mem::take(gzip.get_mut()))
                .filter(|bytes| !bytes.is_empty())
                .map(Bytes::from)),
            Err(error) => Err(self.wrong(format_args!("cannot be unpacked: {error}"))),
        }
    }

    /// A piece of the body as it lies there.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.try_next().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return Ok(piece),
                Err(error) => return Err(failed(self.location.refused(&error))),
            }
        }
    }

    /// The failure of an object that holds what it should not.
    pub(super) fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        failed(format!("{} {problem}", self.location))
    }
}
