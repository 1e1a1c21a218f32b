//! An operation's input as the HTTP request that an SDK would send.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    Body,
    dto::{Timestamp, TimestampFormat},
};
use scones_api::{ApiError, Constraints};
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
/// `NotImplemented` for members that are not here, `ValidationException` for
/// those that must be given and are not, `SerializationException` for values
/// of another kind, `InvalidArgument` for those that no request can have.
pub(super) fn request(operation: &Operation, mut input: Map<String, Value>) -> Result<Request<Body>, ApiError> {
    input.retain(|_, value| !value.is_null());
    let path = path(operation.path, &mut input)?;
    let mut query = operation.subresource.to_owned();
    let mut headers = HeaderMap::new();
    let mut body = None;
    check_required(&operation.input, &input)?;
    for (name, value) in &input {
        let member = member_of(operation.name, &operation.input, name)?;
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
        let value = input.remove(name);
        Constraints::new().required(name, value.as_ref()).check()?;
        let value = check(name, &Kind::Text, &value.unwrap_or_default())?;
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

/// The member of an operation, or of a structure, that is called so.
///
/// # Errors
/// `NotImplemented` if there is none: tasks have been checked for members that
/// AWS does not have.
pub(super) fn member_of<'a>(owner: &str, members: &'a [Member], name: &str) -> Result<&'a Member, ApiError> {
    let known = members.iter().find(|member| member.name == name);
    known.ok_or_else(|| ApiError::not_implemented(format_args!("`{name}` of {owner}")))
}

/// # Errors
/// `ValidationException` if a member that must be there is not.
pub(super) fn check_required(members: &[Member], input: &Map<String, Value>) -> Result<(), ApiError> {
    let mut constraints = Constraints::new();
    for member in members.iter().filter(|member| member.required) {
        constraints.required(member.name, input.get(member.name).filter(|value| !value.is_null()));
    }
    constraints.check()
}

pub(super) fn mismatch(name: &str, expected: &str) -> ApiError {
    serialization(format!("{name} must be {expected}"))
}

pub(super) fn serialization(message: String) -> ApiError {
    ApiError::bad_request("SerializationException", message)
}
