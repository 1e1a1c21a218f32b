//! The bytes of an object from any place in it, for a parser that blocks.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};
use scones_asl::event::Failure;
use tokio::runtime::Handle;

use super::super::{Location, failed};
use crate::objects::{ObjectBody, ObjectStore};

/// An object that is read in ranges.
pub(super) struct Object {
    pub(super) location: Location,
    /// Bytes.
    pub(super) size: u64,
    objects: Arc<dyn ObjectStore>,
    runtime: Handle,
    /// Why the store gave no more bytes, which is no problem of the file's.
    refused: Mutex<Option<Failure>>,
}

impl Object {
    pub(super) async fn find(objects: &Arc<dyn ObjectStore>, location: Location) -> Result<Self, Failure> {
        let opened = objects.open(&location.bucket, &location.key, 0).await;
        let (size, _) = opened.map_err(|error| failed(location.refused(&error)))?;
        Ok(Self {
            location,
            size,
            objects: Arc::clone(objects),
            runtime: Handle::current(),
            refused: Mutex::default(),
        })
    }

    /// The failure of a file with a problem.
    pub(super) fn failure(&self, problem: &str) -> Failure {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        refused.unwrap_or_else(|| failed(format!("{} cannot be read: {problem}", self.location)))
    }

    fn refuse(&self, failure: Failure) -> io::Error {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        io::Error::other("the object cannot be read on")
    }

    fn open(&self, offset: u64) -> Result<ObjectBody, Failure> {
        let Location { bucket, key } = &self.location;
        let opened = self.runtime.block_on(self.objects.open(bucket, key, offset));
        match opened {
            Ok((size, body)) if size == self.size => Ok(body),
            Ok(_) => Err(failed(format!("{} was replaced while it was read", self.location))),
            Err(error) => Err(failed(self.location.refused(&error))),
        }
    }

    /// The next piece of a body; none at the end.
    fn piece(&self, body: &mut ObjectBody) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.runtime.block_on(body.try_next()) {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return Ok(piece),
                Err(error) => return Err(failed(self.location.refused(&error))),
            }
        }
    }
}

/// A column's view of an object. What was read ahead is kept; the object is
/// not kept open between pages, as there may be many columns.
#[derive(Clone)]
pub(super) struct Chunk {
    object: Arc<Object>,
    ahead: Arc<Mutex<Ahead>>,
}

#[derive(Default)]
struct Ahead {
    /// Where `read` lies in the object.
    offset: u64,
    read: Bytes,
    body: Option<ObjectBody>,
}

impl Chunk {
    pub(super) fn of(object: &Arc<Object>) -> Self {
        Self {
            object: Arc::clone(object),
            ahead: Arc::default(),
        }
    }

    /// Some bytes, at most `most`, from `offset` on; none at the end.
    fn some(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.offset != offset {
            *ahead = Ahead {
                offset,
                ..Ahead::default()
            };
        }
        if ahead.read.is_empty() && offset < self.object.size {
            let mut body = match ahead.body.take() {
                Some(body) => body,
                None => self
                    .object
                    .open(offset)
                    .map_err(|failure| self.object.refuse(failure))?,
            };
            let piece = self.object.piece(&mut body);
            ahead.read = piece
                .map_err(|failure| self.object.refuse(failure))?
                .unwrap_or_default();
            ahead.body = Some(body);
        }
        let count = ahead.read.len().min(most);
        let bytes = ahead.read.split_to(count);
        ahead.offset += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(bytes)
    }

    fn close(&self) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).body = None;
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.object.size
    }
}

impl ChunkReader for Chunk {
    type T = Onward;

    fn get_read(&self, start: u64) -> ParquetResult<Onward> {
        Ok(Onward {
            chunk: self.clone(),
            offset: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = u64::try_from(length).ok().and_then(|length| start.checked_add(length));
        let Some(end) = end.filter(|end| *end <= self.object.size) else {
            return Err(ParquetError::EOF("it ends early".to_owned()));
        };
        let mut bytes = BytesMut::new();
        let mut offset = start;
        while offset < end {
            let piece = self.some(offset, length - bytes.len())?;
            if piece.is_empty() {
                return Err(ParquetError::EOF("it ends early".to_owned()));
            }
            offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if bytes.is_empty() && offset == end {
                self.close();
                return Ok(piece);
            }
            bytes.extend_from_slice(&piece);
        }
        self.close();
        Ok(bytes.freeze())
    }
}

/// The bytes from a place on.
pub(super) struct Onward {
    chunk: Chunk,
    offset: u64,
}

impl Read for Onward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.chunk.some(self.offset, buffer.len())?;
        buffer[..piece.len()].copy_from_slice(&piece);
        self.offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        Ok(piece.len())
    }
}
