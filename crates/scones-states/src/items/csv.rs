//! Items from delimited text: an object for each row, with the headers for
//! names and text for values.

use std::collections::HashSet;

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream};
use scones_asl::{
    event::Failure,
    limits::READER_CSV_HEADER_BYTES_MAX,
    map_run::{CsvHeaders, Delimiter},
};
use serde_json::{Map, Value};

use super::{
    Source, Values,
    delimited::{Parser, TooLong},
    failed,
};
use crate::limits::ITEM_BYTES_MAX;

pub(super) fn items(source: Source, headers: CsvHeaders, delimiter: Delimiter) -> Result<Values, Failure> {
    let headers = match headers {
        CsvHeaders::FirstRow => None,
        CsvHeaders::Given(headers) => Some(distinct(headers)?),
    };
    let rows = Rows::of(source, delimiter.byte());
    let items = stream::try_unfold((rows, headers), async |(mut rows, headers)| {
        let headers = match headers {
            Some(headers) => headers,
            None => match rows.next(READER_CSV_HEADER_BYTES_MAX, usize::MAX).await? {
                Some(row) => distinct(row.fields().map(str::to_owned).collect())?,
                None => return Ok(None),
            },
        };
        let row = rows.next(ITEM_BYTES_MAX, headers.len()).await?;
        Ok(row.map(|row| (row.item(&headers), (rows, Some(headers)))))
    });
    Ok(items.boxed())
}

fn distinct(headers: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut seen = HashSet::new();
    match headers.iter().all(|header| seen.insert(header)) {
        true => Ok(headers),
        false => Err(failed("CSV headers cannot contain duplicates.")),
    }
}

/// A row's fields, one after another, and where each ends.
struct Row {
    text: String,
    ends: Vec<usize>,
}

impl Row {
    fn fields(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let field = self.text.get(start..end).unwrap_or_default();
            start = end;
            field
        })
    }

    /// Fields beyond the headers are left out; missing ones are empty.
    fn item(&self, headers: &[String]) -> Value {
        let fields = self.fields().chain(std::iter::repeat(""));
        let members = headers.iter().zip(fields);
        Value::Object(
            members
                .map(|(header, field)| (header.clone(), Value::from(field)))
                .collect::<Map<_, _>>(),
        )
    }
}

/// The rows of an object.
struct Rows {
    source: Source,
    parser: Parser,
    piece: Bytes,
    /// The number of the next row, from 1; blank lines are none.
    number: u64,
}

impl Rows {
    fn of(source: Source, delimiter: u8) -> Self {
        Self {
            source,
            parser: Parser::of(delimiter),
            piece: Bytes::new(),
            number: 1,
        }
    }

    /// The next row's first `fields`. The row has at most `most` bytes.
    async fn next(&mut self, most: usize, fields: usize) -> Result<Option<Row>, Failure> {
        let row = loop {
            if self.piece.is_empty() {
                match self.source.next().await? {
                    Some(piece) => self.piece = piece,
                    None => break self.parser.finish(fields),
                }
            }
            match self.parser.read(&self.piece, most, fields) {
                Ok((read, row)) => {
                    self.piece.advance(read);
                    if row.is_some() {
                        break row;
                    }
                }
                Err(TooLong) => return Err(self.wrong(format_args!("has more than {most} bytes"))),
            }
        };
        let Some(row) = row else { return Ok(None) };
        let Ok(text) = String::from_utf8(row.text) else {
            return Err(self.wrong("is not UTF-8 text"));
        };
        self.number += 1;
        Ok(Some(Row { text, ends: row.ends }))
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        self.source
            .wrong(format_args!("cannot be read: row {} {problem}", self.number))
    }
}
