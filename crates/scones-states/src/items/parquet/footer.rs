//! A file's footer: what is in the file, and where. It is checked before
//! anything is read by it: the Parquet reader trusts the sizes it names.

use std::{ops::Range, sync::Arc};

use parquet::file::{
    metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
    reader::ChunkReader as _,
};

use super::{
    Problem,
    bytes::{Chunk, Object},
    explain, thrift,
};
use crate::limits::{PARQUET_FOOTER_BYTES_MAX, PARQUET_ROW_GROUP_BYTES_MAX};

/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// What a file with an encrypted footer ends with.
const ENCRYPTED: &[u8] = b"PARE";
/// The footer's length and the magic number after it.
const TAIL_BYTES: u64 = 8;

pub(super) fn read(object: &Arc<Object>) -> Result<ParquetMetaData, Problem> {
    let bytes = |range: Range<u64>| {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Chunk::of(object).get_bytes(range.start, length).map_err(explain)
    };
    let Some(end) = object.size.checked_sub(TAIL_BYTES) else {
        return Err("it is not a Parquet file".to_owned());
    };
    let tail = bytes(end..object.size)?;
    match &tail[4..] {
        MAGIC => {}
        ENCRYPTED => return Err("it is encrypted, which Scones does not read".to_owned()),
        _ => return Err("it is not a Parquet file, which ends with PAR1".to_owned()),
    }
    let length = tail[..4].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if length > PARQUET_FOOTER_BYTES_MAX {
        return Err(format!(
            "its footer has {length} bytes, more than {PARQUET_FOOTER_BYTES_MAX}"
        ));
    }
    let Some(start) = end.checked_sub(length) else {
        return Err("it is shorter than its footer".to_owned());
    };
    let footer = bytes(start..end)?;
    thrift::check(&footer)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&footer).map_err(explain)?;
    for group in metadata.row_groups() {
        check(group, start)?;
    }
    Ok(metadata)
}

/// Whether a row group lies before the footer, and within the limits.
fn check(group: &RowGroupMetaData, footer: u64) -> Result<(), Problem> {
    let mut packed = 0_i64;
    for column in group.columns() {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = start.checked_add(column.compressed_size());
        let end = end.and_then(|end| u64::try_from(end).ok());
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > footer) {
            return Err(format!("its column {} lies outside of it", column.column_path()));
        }
        packed = packed.saturating_add(column.compressed_size());
    }
    let bytes = group.total_byte_size().max(packed);
    if bytes > i64::try_from(PARQUET_ROW_GROUP_BYTES_MAX).unwrap_or(i64::MAX) {
        return Err(format!(
            "it has a row group of {bytes} bytes, more than {PARQUET_ROW_GROUP_BYTES_MAX}"
        ));
    }
    if group.columns().len() != group.schema_descr().num_columns() {
        return Err("a row group has other columns than the file".to_owned());
    }
    Ok(())
}
