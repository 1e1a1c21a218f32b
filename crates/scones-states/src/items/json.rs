//! Items from a JSON document: the elements of an array or the members of an
//! object, which `ItemsPointer` finds. They are given out as they are read.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, Read},
};

use bytes::{Buf as _, Bytes};
use scones_asl::{event::Failure, map_run::Item};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, error::Category};
use tokio::runtime::Handle;

use super::{
    Source, Values, failed,
    worker::{self, Out, Unwanted},
};
use crate::limits::{ITEM_BYTES_MAX, JSON_BESIDE_BYTES_MAX};

pub(super) fn items(source: Source, pointer: Option<String>) -> Result<Values<Item>, Failure> {
    let runtime = Handle::current();
    worker::items(move |out| {
        let location = source.location.clone();
        let reading = Reading::default();
        let pieces = Pieces {
            source,
            runtime,
            piece: Bytes::new(),
            reading: &reading,
        };
        let tokens = tokens(pointer.as_deref().unwrap_or_default());
        let walk = Walk {
            tokens: &tokens,
            out,
            reading: &reading,
        };
        let mut document = serde_json::Deserializer::from_reader(pieces);
        let walked = walk
            .deserialize(&mut document)
            .and_then(|found| document.end().map(|()| found));
        match walked {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(format!(
                "{location} has nothing at the ItemsPointer {}",
                pointer.unwrap_or_default()
            ))),
            Err(error) => Err(reading.failure.take().unwrap_or_else(|| match error.classify() {
                Category::Data => failed("Attempting to map over non-iterable node."),
                _ => failed(format!("{location} is not JSON: {error}")),
            })),
        }
    })
}

/// The reference tokens of a JSON Pointer (RFC 6901).
fn tokens(pointer: &str) -> Vec<String> {
    let unescaped = |token: &str| token.replace("~1", "/").replace("~0", "~");
    pointer.split('/').skip(1).map(unescaped).collect()
}

/// How the document is being read.
struct Reading {
    /// Bytes that may come before the next element or part.
    allowed: Cell<usize>,
    /// Why there are no more bytes.
    failure: RefCell<Option<Failure>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            allowed: Cell::new(JSON_BESIDE_BYTES_MAX),
            failure: RefCell::default(),
        }
    }
}

/// The document's bytes, for a parser that blocks.
struct Pieces<'a> {
    source: Source,
    runtime: Handle,
    piece: Bytes,
    reading: &'a Reading,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fail = |failure| {
            *self.reading.failure.borrow_mut() = Some(failure);
            io::Error::other("the document cannot be read on")
        };
        if self.piece.is_empty() {
            let next = self.runtime.block_on(self.source.next());
            self.piece = next.map_err(fail)?.unwrap_or_default();
        }
        let allowed = self.reading.allowed.get();
        if allowed == 0 && !self.piece.is_empty() {
            let problem = "cannot be read: one of its items is too large, or what lies beside them";
            return Err(fail(self.source.wrong(problem)));
        }
        let count = buffer.len().min(self.piece.len()).min(allowed);
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece.advance(count);
        self.reading.allowed.set(allowed - count);
        Ok(count)
    }
}

/// The way to the items, and along them. Tells whether they were there.
struct Walk<'a> {
    tokens: &'a [String],
    out: &'a Out<Item>,
    reading: &'a Reading,
}

impl Walk<'_> {
    fn deeper(&self) -> Self {
        Self {
            tokens: self.tokens.get(1..).unwrap_or_default(),
            ..*self
        }
    }

    fn elements<'de, A: SeqAccess<'de>>(&self, mut array: A) -> Result<bool, A::Error> {
        self.reading.allowed.set(ITEM_BYTES_MAX);
        while let Some(element) = array.next_element::<Value>()? {
            self.put(element.into()).map_err(A::Error::custom)?;
        }
        self.reading.allowed.set(JSON_BESIDE_BYTES_MAX);
        Ok(true)
    }

    fn members<'de, A: MapAccess<'de>>(&self, mut object: A) -> Result<bool, A::Error> {
        self.reading.allowed.set(ITEM_BYTES_MAX);
        while let Some(member) = object.next_entry::<String, Value>()? {
            self.put(member.into()).map_err(A::Error::custom)?;
        }
        self.reading.allowed.set(JSON_BESIDE_BYTES_MAX);
        Ok(true)
    }

    /// Gives out an item, and allows the bytes of the next.
    fn put(&self, item: Item) -> Result<(), Unwanted> {
        self.out.put(item, ITEM_BYTES_MAX - self.reading.allowed.get())?;
        self.reading.allowed.set(ITEM_BYTES_MAX);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<bool, A::Error> {
        let Some(token) = self.tokens.first() else {
            return self.elements(array);
        };
        let mut index = token.parse().unwrap_or(usize::MAX);
        while index > 0 && array.next_element::<IgnoredAny>()?.is_some() {
            index -= 1;
        }
        let found = array.next_element_seed(self.deeper())?;
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found.unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let Some(token) = self.tokens.first() else {
            return self.members(object);
        };
        let mut found = false;
        while let Some(name) = object.next_key::<String>()? {
            if name == *token && !found {
                found = object.next_value_seed(self.deeper())?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
