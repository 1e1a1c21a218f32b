//! Items from Apache Parquet: an object for each row, with JSON's types.
//!
//! Pages are read from ranges of the object: what is in memory is a page of
//! each column. The file is not trusted: what would make the reader's memory
//! grow is checked or bounded beforehand.
//!
//! - `bytes`: ranges of the object
//! - `footer`, `thrift`: what is in the file, and whether that can be
//! - `pages`: a column's pages, unpacked within bounds
//! - `column`: a column's levels and values, row by row
//! - `schema`: rows, put together from columns
//! - `values`: what types become in JSON

mod bytes;
mod column;
mod footer;
mod pages;
mod schema;
mod thrift;
mod values;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parquet::errors::ParquetError;
use scones_asl::event::Failure;

use self::{bytes::Object, column::Column, pages::Allowance, schema::Field};
use super::{
    Location, Values,
    worker::{self, Out},
};
use crate::{
    limits::{ITEM_BYTES_MAX, PARQUET_ROW_GROUP_BYTES_MAX},
    objects::ObjectStore,
};

/// What is wrong with a file, as it ends a sentence about it.
type Problem = String;

pub(super) async fn items(objects: &Arc<dyn ObjectStore>, location: Location) -> Result<Values, Failure> {
    let object = Arc::new(Object::find(objects, location).await?);
    worker::items(move |out| {
        // The Parquet reader asserts some of what it expects of a file.
        let read = catch_unwind(AssertUnwindSafe(|| rows(&object, out)));
        let read = read.unwrap_or_else(|_| Err("it is damaged".to_owned()));
        read.map_err(|problem| object.failure(&problem))
    })
}

fn rows(object: &Arc<Object>, out: &Out) -> Result<(), Problem> {
    let metadata = footer::read(object)?;
    let row = Field::of(metadata.file_metadata().schema_descr())?;
    let mut number = 0_u64;
    for group in metadata.row_groups() {
        let bytes = Allowance::of(PARQUET_ROW_GROUP_BYTES_MAX);
        let columns = group
            .columns()
            .iter()
            .map(|column| Column::open(object, column, &bytes));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        for _ in 0..group.num_rows() {
            number += 1;
            let of_row = |problem| format!("row {number}: {problem}");
            for column in &mut columns {
                column.advance().map_err(of_row)?;
            }
            let mut spare = ITEM_BYTES_MAX;
            let item = row.read(&mut columns, &mut spare).map_err(of_row)?;
            out.put(item, ITEM_BYTES_MAX - spare)
                .map_err(|unwanted| unwanted.to_string())?;
        }
    }
    Ok(())
}

/// A problem in the Parquet reader's words, without its name for the kind.
fn explain(error: ParquetError) -> Problem {
    match error {
        ParquetError::General(problem) | ParquetError::EOF(problem) | ParquetError::NYI(problem) => problem,
        other => other.to_string(),
    }
}
