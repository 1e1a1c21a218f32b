//! Items from JSON Lines, and the lines of any text.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use scones_asl::event::Failure;

use super::{Source, Values};
use crate::limits::ITEM_BYTES_MAX;

/// A JSON value on each line.
pub(super) fn items(source: Source) -> Values {
    stream::try_unfold(Lines::of(source), async |mut lines| {
        let Some(line) = lines.next().await? else {
            return Ok(None);
        };
        let item = serde_json::from_slice(&line).map_err(|error| lines.wrong(format_args!("is not JSON: {error}")))?;
        Ok(Some((item, lines)))
    })
    .boxed()
}

/// The lines of an object, without blank ones.
pub(super) struct Lines {
    source: Source,
    buffer: BytesMut,
    /// So much of the buffer is known to hold no line feed.
    searched: usize,
    /// The number of the line that was given out last, from 1.
    number: u64,
    ended: bool,
}

impl Lines {
    pub(super) fn of(source: Source) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            ended: false,
        }
    }

    /// The next line, without its end; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(line) = self.line() else {
                if self.ended {
                    return Ok(None);
                }
                if self.buffer.len() > ITEM_BYTES_MAX {
                    self.number += 1;
                    return Err(self.too_long());
                }
                match self.source.next().await? {
                    Some(piece) => self.buffer.extend_from_slice(&piece),
                    None => self.ended = true,
                }
                continue;
            };
            self.number += 1;
            let line = line
                .strip_suffix(b"\r")
                .map_or(line.clone(), |text| line.slice_ref(text));
            if line.len() > ITEM_BYTES_MAX {
                return Err(self.too_long());
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// The first line of the buffer, if its end has been read.
    fn line(&mut self) -> Option<Bytes> {
        let rest = &self.buffer[self.searched..];
        let found = rest.iter().position(|&byte| byte == b'\n');
        let end = match found {
            Some(place) => self.searched + place,
            None if self.ended && !self.buffer.is_empty() => self.buffer.len(),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        self.searched = 0;
        let mut line = self.buffer.split_to((end + 1).min(self.buffer.len()));
        line.truncate(end);
        Some(line.freeze())
    }

    fn too_long(&self) -> Failure {
        self.wrong(format_args!("has more than {ITEM_BYTES_MAX} bytes"))
    }

    pub(super) fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        self.source
            .wrong(format_args!("cannot be read: line {} {problem}", self.number))
    }
}
