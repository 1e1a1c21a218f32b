//! A column's pages, unpacked. The Parquet reader would believe a page how
//! large it gets; here, what is unpacked counts against a bound.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf as _, Bytes};
use flate2::read::MultiGzDecoder;
use parquet::{
    basic::{Compression, CompressionCodec, Encoding},
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
};
use ruzstd::decoding::StreamingDecoder;

use super::bytes::Chunk;
use crate::limits::{PARQUET_LEVELS_MAX, PARQUET_PAGE_BYTES_MAX};

/// What may be left of something, counted down.
#[derive(Clone, Default)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn of(most: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(most)))
    }

    pub(super) fn reset(&self, most: usize) {
        self.0.store(most, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether there was so much.
    fn take(&self, count: usize) -> bool {
        let left = self.left().checked_sub(count);
        self.0.store(left.unwrap_or_default(), Ordering::Relaxed);
        left.is_some()
    }
}

/// The pages of a column in a row group.
pub(super) struct Pages {
    packed: SerializedPageReader<Chunk>,
    codec: CompressionCodec,
    max_def_level: i16,
    max_rep_level: i16,
    /// Unpacked bytes of the row group.
    bytes: Allowance,
    /// Values of a row, where it may have more than one.
    levels: Allowance,
}

impl Pages {
    pub(super) fn of(chunk: Chunk, column: &ColumnChunkMetaData, bytes: Allowance, levels: Allowance) -> Result<Self> {
        // Pages are given out as they lie there.
        let packed = column
            .clone()
            .into_builder()
            .set_compression(Compression::UNCOMPRESSED)
            .build()?;
        Ok(Self {
            packed: SerializedPageReader::new(Arc::new(chunk), &packed, 0, None)?,
            codec: column.compression_codec(),
            max_def_level: column.column_descr().max_def_level(),
            max_rep_level: column.column_descr().max_rep_level(),
            bytes,
            levels,
        })
    }

    fn checked(&mut self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DictionaryPage { buf, num_values, .. } => {
                *buf = self.unpacked(buf)?;
                // A value has at least a byte.
                if usize::try_from(*num_values)? > buf.len() {
                    return Err(problem("a dictionary is shorter than it says"));
                }
                return Ok(page);
            }
            Page::DataPage { buf, .. } => *buf = self.unpacked(buf)?,
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                ..
            } => {
                let levels = usize::try_from(def_levels_byte_len.saturating_add(*rep_levels_byte_len))?;
                if levels > buf.len() {
                    return Err(problem("a page is shorter than it says"));
                }
                if *is_compressed {
                    let values = self.unpacked(&buf.slice(levels..))?;
                    *buf = [&buf[..levels], &values].concat().into();
                }
            }
        }
        if self.max_rep_level > 0 && !self.levels.take(usize::try_from(page.num_values())?) {
            return Err(problem(format_args!("a row has more than {PARQUET_LEVELS_MAX} values")));
        }
        self.check_encoding(&page)?;
        Ok(page)
    }

    /// Encodings whose decoders trust a count in the page.
    fn check_encoding(&self, page: &Page) -> Result<()> {
        match page.encoding() {
            Encoding::DELTA_BYTE_ARRAY => Err(problem(
                "it is encoded with DELTA_BYTE_ARRAY, which Scones does not read",
            )),
            Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                let mut values = self.values(page).unwrap_or_default();
                // The sizes of blocks, their number of parts, the number of lengths.
                let lengths = (0..3).map(|_| varint(&mut values)).last().flatten();
                match lengths {
                    Some(lengths)
                        if lengths <= u64::from(page.num_values())
                            && usize::try_from(lengths)? <= PARQUET_LEVELS_MAX =>
                    {
                        Ok(())
                    }
                    _ => Err(problem("a page holds other values than it says")),
                }
            }
            _ => Ok(()),
        }
    }

    /// A data page's bytes after its levels.
    fn values(&self, page: &Page) -> Option<Bytes> {
        let mut values = page.buffer().clone();
        match page {
            Page::DataPageV2 {
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => Some(values.slice(usize::try_from(def_levels_byte_len + rep_levels_byte_len).ok()?..)),
            Page::DataPage { .. } => {
                for max_level in [self.max_rep_level, self.max_def_level] {
                    if max_level > 0 {
                        let length = values.try_get_u32_le().ok()?;
                        let length = usize::try_from(length).ok().filter(|length| *length <= values.len())?;
                        values.advance(length);
                    }
                }
                Some(values)
            }
            Page::DictionaryPage { .. } => None,
        }
    }

    fn unpacked(&self, packed: &Bytes) -> Result<Bytes> {
        if packed.is_empty() {
            return Ok(Bytes::new());
        }
        let most = self.bytes.left().min(PARQUET_PAGE_BYTES_MAX);
        let unpacked = match self.codec {
            CompressionCodec::UNCOMPRESSED => packed.clone(),
            CompressionCodec::GZIP => all(MultiGzDecoder::new(packed.as_ref()), Vec::new(), most)?,
            CompressionCodec::SNAPPY => snappy(packed, most)?,
            CompressionCodec::ZSTD => {
                let mut frames = packed.as_ref();
                let mut bytes = Vec::new();
                while !frames.is_empty() {
                    let frame = StreamingDecoder::new(&mut frames).map_err(damaged)?;
                    bytes = all(frame, bytes, most)?.into();
                }
                bytes.into()
            }
            other => {
                return Err(problem(format_args!(
                    "it is packed with {other}, which Scones does not read, as AWS does not"
                )));
            }
        };
        if unpacked.len() <= most && self.bytes.take(unpacked.len()) {
            Ok(unpacked)
        } else {
            Err(too_large())
        }
    }
}

/// `bytes` and all that is read: at most one byte more than `most`.
fn all(read: impl Read, mut bytes: Vec<u8>, most: usize) -> Result<Bytes> {
    let more = (most + 1).saturating_sub(bytes.len());
    let read = read.take(u64::try_from(more)?).read_to_end(&mut bytes);
    read.map_err(damaged)?;
    Ok(bytes.into())
}

fn snappy(packed: &[u8], most: usize) -> Result<Bytes> {
    let length = snap::raw::decompress_len(packed).map_err(damaged)?;
    if length > most {
        return Err(too_large());
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(packed);
    Ok(unpacked.map_err(damaged)?.into())
}

/// A number in LEB128.
fn varint(bytes: &mut Bytes) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn problem(text: impl ToString) -> ParquetError {
    ParquetError::General(text.to_string())
}

fn damaged(error: impl ToString) -> ParquetError {
    problem(format_args!("a page cannot be unpacked: {}", error.to_string()))
}

fn too_large() -> ParquetError {
    problem(format_args!(
        "a page has more than {PARQUET_PAGE_BYTES_MAX} bytes, or its row group more than {}",
        crate::limits::PARQUET_ROW_GROUP_BYTES_MAX
    ))
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.packed.get_next_page()?;
        page.map(|page| self.checked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
