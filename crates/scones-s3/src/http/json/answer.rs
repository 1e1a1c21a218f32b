//! An HTTP response as an operation's output.

use http::{HeaderMap, Response, StatusCode, header, response::Parts};
use http_body_util::BodyExt as _;
use s3s::{
    Body,
    dto::{Timestamp, TimestampFormat},
};
use scones_api::ApiError;
use serde_json::{Map, Number, Value};

use super::{
    notation::{Kind, Member, Place},
    xml::Element,
};
use crate::{
    error::entity_too_large,
    http::{Status, convert::timestamp, usual_message},
    limits::JSON_BODY_BYTES_MAX,
};

/// The output of an operation with these members.
///
/// # Errors
/// The operation's; `EntityTooLarge` for an object that no state can hold.
pub(super) async fn output(members: &[Member], response: Response<Body>) -> Result<Map<String, Value>, ApiError> {
    let (parts, body) = response.into_parts();
    let brings = |member: &Member| matches!(member.kind, Kind::Body);
    let brings_body = members.iter().any(brings);
    if status(&parts) == StatusCode::NOT_MODIFIED {
        // An SDK has no output for it, and the answer no words.
        return Err(ApiError::new(304, "NotModified", "null"));
    }
    if brings_body && parts.status.is_success() && length(&parts.headers) > JSON_BODY_BYTES_MAX {
        return Err(entity_too_large());
    }
    let body = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    if !parts.status.is_success() {
        return Err(error(&parts, &Element::read(&text)?));
    }
    let document = if brings_body {
        Element::default()
    } else {
        Element::read(&text)?
    };
    let output = members.iter().filter_map(|member| {
        let value = match member.place {
            _ if brings(member) => Some(text.clone().into()),
            Place::Header(name) => of_headers(&member.kind, name, &parts.headers),
            _ => of_element(member, &document),
        };
        Some((member.name.to_owned(), value?))
    });
    Ok(output.collect())
}

fn status(parts: &Parts) -> StatusCode {
    parts.extensions.get().map_or(parts.status, |&Status(wanted)| wanted)
}

fn length(headers: &HeaderMap) -> usize {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn error(parts: &Parts, document: &Element) -> ApiError {
    let text = |name: &str| document.child(name).map(|child| child.text.clone());
    let code = text("Code").unwrap_or_else(|| parts.status.as_u16().to_string());
    let message = text("Message").unwrap_or_else(|| usual_message(&code).to_owned());
    ApiError::new(parts.status.as_u16(), code, message)
}

fn of_headers(kind: &Kind, name: &str, headers: &HeaderMap) -> Option<Value> {
    if matches!(kind, Kind::Map) {
        let entries = headers.iter().filter_map(|(header, value)| {
            let key = header.as_str().strip_prefix(name)?;
            Some((key.to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        });
        return Some(Value::Object(entries.collect()));
    }
    single(kind, &String::from_utf8_lossy(headers.get(name)?.as_bytes()))
}

/// A member of the structure that `element` is.
fn of_element(member: &Member, element: &Element) -> Option<Value> {
    let Place::Element(path) = member.place else {
        return None;
    };
    if let Kind::List(kind) = &member.kind {
        let (wrapper, name) = path
            .split_once('/')
            .map_or((None, path), |(wrapper, name)| (Some(wrapper), name));
        let list = wrapper.map_or(Some(element), |wrapper| element.child(wrapper));
        let items = list.into_iter().flat_map(|list| &list.children);
        let items: Vec<_> = items
            .filter(|item| item.name == name)
            .filter_map(|item| of_kind(kind, item))
            .collect();
        let there = !items.is_empty() || member.required || wrapper.is_some() && list.is_some();
        return there.then_some(Value::Array(items));
    }
    if let Some(attribute) = path.strip_prefix('@') {
        let (_, value) = element.attributes.iter().find(|(name, _)| name == attribute)?;
        return single(&member.kind, value);
    }
    let element = if path == "." { element } else { element.child(path)? };
    of_kind(&member.kind, element)
}

fn of_kind(kind: &Kind, element: &Element) -> Option<Value> {
    match kind {
        Kind::Structure(members) => {
            let fields = members
                .iter()
                .filter_map(|member| Some((member.name.to_owned(), of_element(member, element)?)));
            Some(Value::Object(fields.collect()))
        }
        kind => single(kind, &element.text),
    }
}

fn single(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Number => text.parse::<Number>().ok().map(Value::Number),
        Kind::Boolean => Some(Value::Bool(text == "true")),
        Kind::Date => date(text).map(Value::String),
        _ => Some(text.into()),
    }
}

/// `2026-11-23T08:14:29Z`.
fn date(text: &str) -> Option<String> {
    let formats = [TimestampFormat::DateTime, TimestampFormat::HttpDate];
    let time = formats
        .into_iter()
        .find_map(|format| Timestamp::parse(format, text).ok())?;
    Some(timestamp(&time)?.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
