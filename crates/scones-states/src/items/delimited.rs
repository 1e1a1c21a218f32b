//! The fields of delimited text, row by row, as Step Functions takes it
//! apart (Developer Guide, "How Step Functions parses input CSV files"): what
//! RFC 4180 says, and
//!
//! - a backslash makes text of a backslash, a quotation mark or a delimiter
//!   after it, inside quotation marks and outside; before anything else it
//!   is dropped
//! - two quotation marks are one outside quotation marks too, but not where
//!   a field begins
//! - CR, LF or both end a row; a blank line is none

/// A row's fields, one after another, and where each ends.
#[derive(Default)]
pub(super) struct Row {
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

/// A row is longer than it may be.
#[derive(Debug)]
pub(super) struct TooLong;

/// Where in a field the parser is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    /// After a quotation mark in a plain field, which has been taken.
    PlainQuote,
    Quoted,
    /// After a quotation mark in a quoted field: its end, or half of one.
    Closed,
}

/// Takes rows apart.
pub(super) struct Parser {
    delimiter: u8,
    place: Place,
    /// A backslash came before.
    escaped: bool,
    /// Bytes of the row so far.
    bytes: usize,
    row: Row,
}

impl Parser {
    pub(super) fn of(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Start,
            escaped: false,
            bytes: 0,
            row: Row::default(),
        }
    }

    /// Reads on from `piece`: how much of it was read, and the row that ends
    /// there, if one does. A row has at most `most` bytes, without its end;
    /// what comes after its first `fields` is left out.
    pub(super) fn read(&mut self, piece: &[u8], most: usize, fields: usize) -> Result<(usize, Option<Row>), TooLong> {
        for (index, &byte) in piece.iter().enumerate() {
            if self.step(byte, fields) {
                return Ok((index + 1, Some(self.end(fields))));
            }
            if self.bytes > most {
                return Err(TooLong);
            }
        }
        Ok((piece.len(), None))
    }

    /// The last row, if no line end came after it.
    pub(super) fn finish(&mut self, fields: usize) -> Option<Row> {
        (self.bytes > 0).then(|| self.end(fields))
    }

    fn end(&mut self, fields: usize) -> Row {
        self.end_field(fields);
        self.bytes = 0;
        std::mem::take(&mut self.row)
    }

    fn end_field(&mut self, fields: usize) {
        match self.row.ends.len() < fields {
            true => self.row.ends.push(self.row.text.len()),
            false => self
                .row
                .text
                .truncate(self.row.ends.last().copied().unwrap_or_default()),
        }
        self.place = Place::Start;
    }

    /// Takes a byte. Tells whether it ends a row.
    fn step(&mut self, byte: u8, fields: usize) -> bool {
        let ends_line = matches!(byte, b'\r' | b'\n') && self.place != Place::Quoted;
        let escaped = std::mem::take(&mut self.escaped);
        if ends_line {
            return self.bytes > 0;
        }
        self.bytes += 1;
        if escaped && (matches!(byte, b'\\' | b'"') || byte == self.delimiter) {
            self.take(byte);
            return false;
        }
        match (self.place, byte) {
            (_, b'\\') => self.escaped = true,
            (Place::Start, b'"') => self.place = Place::Quoted,
            (Place::Quoted, b'"') => self.place = Place::Closed,
            (Place::Closed, b'"') => {
                self.row.text.push(byte);
                self.place = Place::Quoted;
            }
            (Place::Plain, b'"') => {
                self.row.text.push(byte);
                self.place = Place::PlainQuote;
            }
            (Place::PlainQuote, b'"') => self.place = Place::Plain,
            (Place::Quoted, _) => self.row.text.push(byte),
            (_, byte) if byte == self.delimiter => self.end_field(fields),
            _ => self.take(byte),
        }
        false
    }

    /// A byte of the field's text. After the end of a quoted field, the
    /// field goes on as a plain one.
    fn take(&mut self, byte: u8) {
        self.row.text.push(byte);
        if self.place != Place::Quoted {
            self.place = Place::Plain;
        }
    }
}
