//! An operation's input as the HTTP request that an SDK would send.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    Body,
    dto::{Timestamp, TimestampFormat},
};
use scones_api::ApiError;
use serde_json::{Map, Value};

use super::{
    notation::{Kind, Member, Operation, Path, Place},
    xml,
};
use crate::error::invalid_argument;

/// What a query has as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What a path has as it is.
const PLAIN_PATH: AsciiSet = PLAIN.remove(b'/');

/// The request of an operation, unsigned.
///
/// # Errors
/// `SerializationException` for members that the operation does not have, that
/// must be there, or that are of another kind; `InvalidArgument` for values
/// that no request can have.
pub(super) fn request(operation: &Operation, mut input: Map<String, Value>) -> Result<Request<Body>, ApiError> {
    input.retain(|_, value| !value.is_null());
    let path = path(operation.path, &mut input)?;
    let mut query = operation.subresource.to_owned();
    let mut headers = HeaderMap::new();
    let mut body = None;
    missing(&operation.input, &input)?;
    for (name, value) in &input {
        let member = member_of(&operation.input, name)?;
        match member.place {
            _ if matches!(member.kind, Kind::Body) => body = Some(check(name, &member.kind, value)?),
            Place::Header(header) => add_headers(&mut headers, header, member, value)?,
            Place::Parameter(parameter) => {
                let value = check(name, &member.kind, value)?;
                let separator = if query.is_empty() { "" } else { "&" };
                query += &format!("{separator}{parameter}={}", utf8_percent_encode(&value, &PLAIN));
            }
            Place::Element(_) => xml::write(body.insert(String::new()), member, value)?,
        }
    }
    if operation.method == Method::PUT || operation.method == Method::POST {
        let length = body.as_ref().map_or(0, String::len);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut request = Request::builder()
        .method(operation.method.clone())
        .uri(format!("{path}?{query}"))
        .body(Body::from(body.unwrap_or_default()))
        .map_err(|error| invalid_argument(error.to_string()))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Takes the members that name a bucket and an object.
fn path(path: Path, input: &mut Map<String, Value>) -> Result<String, ApiError> {
    let mut take = |name: &'static str, unnamed: &[char]| {
        let value = input.remove(name).ok_or_else(|| missing_field(name))?;
        let value = check(name, &Kind::Text, &value)?;
        // The path would name something else.
        if value.is_empty() || value.contains(unnamed) {
            return Err(invalid_argument(format!("{name} is not valid: '{value}'")));
        }
        Ok(utf8_percent_encode(&value, &PLAIN_PATH).to_string())
    };
    Ok(match path {
        Path::Service => "/".to_owned(),
        Path::Bucket => format!("/{}", take("Bucket", &['/'])?),
        Path::Object => format!("/{}/{}", take("Bucket", &['/'])?, take("Key", &[])?),
    })
}

fn add_headers(headers: &mut HeaderMap, header: &'static str, member: &Member, value: &Value) -> Result<(), ApiError> {
    let name = member.name;
    match (&member.kind, value) {
        (Kind::Map, Value::Object(fields)) => {
            for (field, value) in fields {
                let header: HeaderName = format!("{header}{field}")
                    .parse()
                    .map_err(|_| invalid_argument(format!("{name} has a name that no header can have: '{field}'")))?;
                headers.insert(header, header_value(name, &check(field, &Kind::Text, value)?)?);
            }
        }
        (Kind::Map, _) => return Err(mismatch(name, "a map")),
        (Kind::List(kind), Value::Array(items)) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| check(name, kind, item)).collect();
            headers.insert(header, header_value(name, &items?.join(","))?);
        }
        (Kind::List(_), _) => return Err(mismatch(name, "a list")),
        (kind, value) => {
            headers.insert(header, header_value(name, &check(name, kind, value)?)?);
        }
    }
    Ok(())
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| invalid_argument(format!("{name} has a value that no header can have")))
}

/// A single value as text.
///
/// # Errors
/// `SerializationException` for a value of another kind.
pub(super) fn check(name: &str, kind: &Kind, value: &Value) -> Result<String, ApiError> {
    match (kind, value) {
        (Kind::Text | Kind::Body, Value::String(text)) => Ok(text.clone()),
        (Kind::Path, Value::String(text)) => Ok(utf8_percent_encode(text, CONTROLS).to_string()),
        (Kind::Number, Value::Number(number)) if number.as_i64().is_some() => Ok(number.to_string()),
        (Kind::Boolean, Value::Bool(flag)) => Ok(flag.to_string()),
        (Kind::Date, Value::String(text)) => http_date(text).ok_or_else(|| mismatch(name, "a date in ISO 8601")),
        (Kind::Number, _) => Err(mismatch(name, "a whole number")),
        (Kind::Boolean, _) => Err(mismatch(name, "a boolean")),
        _ => Err(mismatch(name, "a string")),
    }
}

fn http_date(text: &str) -> Option<String> {
    let time = Timestamp::parse(TimestampFormat::DateTime, text).ok()?;
    let mut date = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut date).ok()?;
    String::from_utf8(date).ok()
}

/// # Errors
/// `SerializationException` if no member is called so.
pub(super) fn member_of<'a>(members: &'a [Member], name: &str) -> Result<&'a Member, ApiError> {
    let known = members.iter().find(|member| member.name == name);
    known.ok_or_else(|| serialization(format!("unknown field `{name}`")))
}

/// # Errors
/// `SerializationException` for the first member that must be there and is not.
pub(super) fn missing(members: &[Member], input: &Map<String, Value>) -> Result<(), ApiError> {
    let given = |name: &str| input.get(name).is_some_and(|value| !value.is_null());
    let missing = members.iter().find(|member| member.required && !given(member.name));
    missing.map_or(Ok(()), |member| Err(missing_field(member.name)))
}

fn missing_field(name: &str) -> ApiError {
    serialization(format!("missing field `{name}`"))
}

pub(super) fn mismatch(name: &str, expected: &str) -> ApiError {
    serialization(format!("{name} must be {expected}"))
}

pub(super) fn serialization(message: String) -> ApiError {
    ApiError::bad_request("SerializationException", message)
}
