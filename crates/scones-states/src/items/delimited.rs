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
    row: Row,
}

impl Parser {
    pub(super) fn of(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Start,
            escaped: false,
            row: Row::default(),
        }
    }

    /// Reads on from `piece`: how much of it was read, and the row that ends
    /// there, if one does. A row has at most `most` bytes of text, and fields.
    pub(super) fn read(&mut self, piece: &[u8], most: usize) -> Result<(usize, Option<Row>), TooLong> {
        for (index, &byte) in piece.iter().enumerate() {
            if self.step(byte) {
                return Ok((index + 1, Some(self.end())));
            }
            if self.row.text.len() > most || self.row.ends.len() > most {
                return Err(TooLong);
            }
        }
        Ok((piece.len(), None))
    }

    /// The last row, if no line end came after it.
    pub(super) fn finish(&mut self) -> Option<Row> {
        (!self.is_blank()).then(|| self.end())
    }

    fn is_blank(&self) -> bool {
        self.place == Place::Start && self.row.ends.is_empty()
    }

    fn end(&mut self) -> Row {
        self.end_field();
        std::mem::take(&mut self.row)
    }

    fn end_field(&mut self) {
        self.row.ends.push(self.row.text.len());
        self.place = Place::Start;
    }

    /// Takes a byte. Tells whether it ends a row.
    fn step(&mut self, byte: u8) -> bool {
        let escaped = std::mem::take(&mut self.escaped);
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
            (_, b'\r' | b'\n') => return !self.is_blank(),
            (_, byte) if byte == self.delimiter => self.end_field(),
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
