//! A column of a row group, read row by row.

use std::sync::Arc;

use parquet::{
    column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader},
    data_type::DataType,
    file::metadata::ColumnChunkMetaData,
};
use serde_json::Value;

use super::{
    Problem,
    bytes::{Chunk, Object},
    explain,
    pages::{Allowance, Pages},
    values::{Cell, Meaning},
};
use crate::limits::PARQUET_LEVELS_MAX;

/// A column and what it holds for the current row: a level for each value,
/// null, or list that is empty, as Dremel stripes them.
pub(super) struct Column {
    name: String,
    values: Box<dyn Values>,
    max_def_level: i16,
    max_rep_level: i16,
    allowance: Allowance,
    def_levels: Vec<i16>,
    rep_levels: Vec<i16>,
    count: usize,
    /// The level that comes next, and the value.
    next: usize,
    next_value: usize,
}

impl Column {
    pub(super) fn open(
        object: &Arc<Object>,
        metadata: &ColumnChunkMetaData,
        bytes: &Allowance,
    ) -> Result<Self, Problem> {
        let descriptor = metadata.column_descr_ptr();
        let allowance = Allowance::default();
        let pages = Pages::of(Chunk::of(object), metadata, bytes.clone(), allowance.clone()).map_err(explain)?;
        let meaning = Meaning::of(&descriptor)?;
        let reader = get_column_reader(descriptor.clone(), Box::new(pages));
        let values: Box<dyn Values> = match reader {
            ColumnReader::BoolColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::Int32ColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::Int64ColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::Int96ColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::FloatColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::DoubleColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::ByteArrayColumnReader(reader) => Typed::of(reader, meaning),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => Typed::of(reader, meaning),
        };
        Ok(Self {
            name: descriptor.path().string(),
            values,
            max_def_level: descriptor.max_def_level(),
            max_rep_level: descriptor.max_rep_level(),
            allowance,
            def_levels: Vec::new(),
            rep_levels: Vec::new(),
            count: 0,
            next: 0,
            next_value: 0,
        })
    }

    /// Goes on to the next row.
    pub(super) fn advance(&mut self) -> Result<(), Problem> {
        if self.next < self.count {
            return Err(self.wrong("does not fit the other columns"));
        }
        self.allowance.reset(PARQUET_LEVELS_MAX);
        (self.next, self.next_value) = (0, 0);
        self.def_levels.clear();
        self.rep_levels.clear();
        // Where a page ends with a row, the row's end is read on its own.
        loop {
            let read = self.values.read(&mut self.def_levels, &mut self.rep_levels);
            let (rows, count) = read.map_err(|problem| self.wrong(&format!("cannot be read: {problem}")))?;
            self.count = count;
            if count > 0 {
                return Ok(());
            }
            if rows == 0 {
                return Err(self.wrong("has fewer rows than its row group"));
            }
        }
    }

    /// The definition and repetition level that comes next; none at the row's end.
    pub(super) fn level(&self) -> Option<(i16, i16)> {
        let level = |levels: &[i16], most: i16| match most {
            0 => Some(0),
            _ => levels.get(self.next).copied(),
        };
        if self.next == self.count {
            return None;
        }
        Some((
            level(&self.def_levels, self.max_def_level)?,
            level(&self.rep_levels, self.max_rep_level)?,
        ))
    }

    /// Passes over a level that has no value.
    pub(super) fn pass(&mut self) -> Result<(), Problem> {
        match self.level() {
            Some((level, _)) if level < self.max_def_level => {
                self.next += 1;
                Ok(())
            }
            _ => Err(self.wrong("does not fit the other columns")),
        }
    }

    pub(super) fn value(&mut self) -> Result<Value, Problem> {
        match self.level() {
            Some((level, _)) if level == self.max_def_level => {}
            _ => return Err(self.wrong("does not fit the other columns")),
        }
        let value = self.values.json(self.next_value);
        self.next += 1;
        self.next_value += 1;
        value.map_err(|problem| self.wrong(&format!("cannot be read: {problem}")))
    }

    fn wrong(&self, problem: &str) -> Problem {
        format!("its column {} {problem}", self.name)
    }
}

/// Values of any type.
trait Values {
    /// Reads a row's levels and keeps its values: how many rows were read to
    /// their ends, and how many levels.
    fn read(&mut self, def_levels: &mut Vec<i16>, rep_levels: &mut Vec<i16>) -> Result<(usize, usize), Problem>;

    fn json(&self, index: usize) -> Result<Value, Problem>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    meaning: Meaning,
    values: Vec<T::T>,
}

impl<T: DataType<T: Cell>> Typed<T> {
    fn of(reader: ColumnReaderImpl<T>, meaning: Meaning) -> Box<dyn Values> {
        Box::new(Self {
            reader,
            meaning,
            values: Vec::new(),
        })
    }
}

impl<T: DataType<T: Cell>> Values for Typed<T> {
    fn read(&mut self, def_levels: &mut Vec<i16>, rep_levels: &mut Vec<i16>) -> Result<(usize, usize), Problem> {
        self.values.clear();
        let read = self
            .reader
            .read_records(1, Some(def_levels), Some(rep_levels), &mut self.values);
        let (rows, _, levels) = read.map_err(explain)?;
        Ok((rows, levels))
    }

    fn json(&self, index: usize) -> Result<Value, Problem> {
        match self.values.get(index) {
            Some(value) => value.json(self.meaning),
            None => Err("a value is missing".to_owned()),
        }
    }
}
