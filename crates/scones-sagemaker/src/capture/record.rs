//! A captured inference as AWS writes it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use chrono::SecondsFormat;
use serde::Serialize;

use super::Captured;
use crate::hosting::endpoint_config::CaptureContentTypeHeader;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    capture_data: CaptureData<'a>,
    event_metadata: EventMetadata<'a>,
    event_version: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CaptureData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_input: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_output: Option<Side<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side<'a> {
    observed_content_type: &'a str,
    mode: &'static str,
    data: String,
    encoding: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventMetadata<'a> {
    event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_attributes: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_id: Option<&'a str>,
    inference_time: String,
}

/// One line of JSON, its end included.
pub(super) fn line(record: &Captured, event_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    let line = Line {
        capture_data: CaptureData {
            endpoint_input: record.input.as_ref().map(|side| encode(side, "INPUT", &record.types)),
            endpoint_output: record.output.as_ref().map(|side| encode(side, "OUTPUT", &record.types)),
        },
        event_metadata: EventMetadata {
            event_id,
            custom_attributes: record.custom_attributes.as_deref().map(|attributes| [attributes]),
            inference_id: record.inference_id.as_deref(),
            inference_time: record.time.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true),
        },
        event_version: "0",
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Text stays text for the content types that the configuration names; all else is base64.
fn encode<'a>(
    (content_type, body): &'a (String, Bytes),
    mode: &'static str,
    types: &CaptureContentTypeHeader,
) -> Side<'a> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let named = |list: &Option<Vec<String>>| list.iter().flatten().any(|name| name.eq_ignore_ascii_case(essence));
    let text = std::str::from_utf8(body).ok();
    let (encoding, data) = match text {
        Some(text) if named(&types.json_content_types) => ("JSON", text.to_owned()),
        Some(text) if named(&types.csv_content_types) => ("CSV", text.to_owned()),
        _ => ("BASE64", BASE64.encode(body)),
    };
    Side {
        observed_content_type: content_type,
        mode,
        data,
        encoding,
    }
}
