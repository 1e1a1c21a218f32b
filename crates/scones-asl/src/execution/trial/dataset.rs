//! The items of a dataset that is given as a text, in place of an object in S3.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Fault, names};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::map_run::{CsvHeaders, InputType, Item, ItemReader};

/// The items that `reader` would read from an object with this content.
pub(super) fn items(reader: &ItemReader, data: &str) -> Result<Vec<Item>, Fault> {
    let items: Vec<Item> = match reader.input_type {
        Some(InputType::Csv) => rows(reader, data)?.into_iter().map(Into::into).collect(),
        Some(InputType::JsonLines) => {
            let lines = data.lines().filter(|line| !line.trim().is_empty());
            lines
                .map(|line| parse(line).map(Into::into))
                .collect::<Result<_, _>>()?
        }
        // A list of objects, or of what a manifest names, is an array, too.
        _ => members(reader, parse(data)?)?,
    };
    let most = reader
        .max_items
        .ok_or_else(|| failed("field MaxItems must be positive".to_owned()))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let source = source(reader);
    let from_there = |item| Item {
        source: Some(Arc::clone(&source)),
        ..item
    };
    Ok(items.into_iter().take(most).map(from_there).collect())
}

/// What the reader names: an object, or a bucket with objects.
fn source(reader: &ItemReader) -> Arc<str> {
    let bucket = reader.parameters["Bucket"].as_str().unwrap_or_default();
    match reader.parameters["Key"].as_str() {
        Some(key) => format!("S3://{bucket}/{key}").into(),
        None => format!("S3://{bucket}").into(),
    }
}

fn failed(cause: String) -> Fault {
    Fault::reported(Some(names::ITEM_READER_FAILED.to_owned()), Some(cause))
}

fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| failed(format!("The item reader's data is not JSON: {error}")))
}

fn members(reader: &ItemReader, mut document: Value) -> Result<Vec<Item>, Fault> {
    let pointer = reader.items_pointer.as_deref().unwrap_or_default();
    match document.pointer_mut(pointer).map(Value::take) {
        Some(Value::Array(items)) => Ok(items.into_iter().map(Into::into).collect()),
        Some(Value::Object(members)) => Ok(members.into_iter().map(Into::into).collect()),
        _ => Err(failed(format!(
            "The item reader's data has no array or object at '{pointer}'"
        ))),
    }
}

/// The rows of a CSV file as objects of texts; a row without a field for a
/// header has an empty text for it.
fn rows(reader: &ItemReader, data: &str) -> Result<Vec<Value>, Fault> {
    let mut rows = records(data, char::from(reader.delimiter.byte())).into_iter();
    let headers = match &reader.headers {
        Some(CsvHeaders::Given(headers)) => headers.clone(),
        _ => rows
            .next()
            .ok_or_else(|| failed("The item reader's data has no row of headers".to_owned()))?,
    };
    // Each row repeats the headers: a small text may have large items.
    let header_bytes: usize = headers.iter().map(String::len).sum();
    if header_bytes.saturating_mul(rows.len()) > PAYLOAD_BYTES_MAX {
        return Err(failed(format!(
            "The item reader's items have more than {PAYLOAD_BYTES_MAX} bytes"
        )));
    }
    let object = |fields: Vec<String>| {
        let fields = fields.into_iter().chain(std::iter::repeat_with(String::new));
        let members: Map<_, _> = headers.iter().cloned().zip(fields.map(Value::from)).collect();
        Value::Object(members)
    };
    Ok(rows.map(object).collect())
}

/// The fields of every record (RFC 4180); empty lines are no records.
fn records(data: &str, delimiter: char) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut began) = (false, false);
    let mut characters = data.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' if quoted || field.is_empty() => (quoted, began) = (!quoted, true),
            other if quoted => field.push(other),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                if began {
                    record.push(std::mem::take(&mut field));
                    records.push(std::mem::take(&mut record));
                }
                began = false;
            }
            other if other == delimiter => {
                record.push(std::mem::take(&mut field));
                began = true;
            }
            other => {
                field.push(other);
                began = true;
            }
        }
    }
    if began {
        record.push(field);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv() {
        let check = |data: &str, expect: &[&[&str]]| assert_eq!(records(data, ','), expect, "{data}");
        check("a,b\r\n1,2", &[&["a", "b"], &["1", "2"]]);
        check("a,,\n\n,b\n", &[&["a", "", ""], &["", "b"]]);
        check("\"a,\"\"b\"\"\nc\",d", &[&["a,\"b\"\nc", "d"]]);
        check("\"\"\n", &[&[""]]);
        check("", &[]);
    }
}
