//! Base64 and hashes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::limits::INTRINSIC_TEXT_CHARS_MAX;
use crate::scope::Scope;

type Evaluated = Result<Value, String>;

fn text(value: &Value) -> Result<&str, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("expected a text but was {value}"))?;
    if text.chars().count() > INTRINSIC_TEXT_CHARS_MAX {
        return Err(format!(
            "the text may have {INTRINSIC_TEXT_CHARS_MAX} characters at most"
        ));
    }
    Ok(text)
}

pub(super) fn base64_encode(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    Ok(Value::String(STANDARD.encode(text(&arguments[0])?)))
}

pub(super) fn base64_decode(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let bytes = STANDARD
        .decode(text(&arguments[0])?)
        .map_err(|error| error.to_string())?;
    Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn hash(arguments: &[Value]) -> Evaluated {
    let [data, algorithm] = arguments else {
        return Err(format!("expected 2 arguments but there are {}", arguments.len()));
    };
    let data = match data {
        Value::String(_) => text(data)?.to_owned(),
        other => other.to_string(),
    };
    let digest = match algorithm.as_str() {
        Some("MD5") => hex::encode(Md5::digest(data)),
        Some("SHA-1") => hex::encode(Sha1::digest(data)),
        Some("SHA-256") => hex::encode(Sha256::digest(data)),
        Some("SHA-384") => hex::encode(Sha384::digest(data)),
        Some("SHA-512") => hex::encode(Sha512::digest(data)),
        _ => return Err(format!("there is no hash algorithm {algorithm}")),
    };
    Ok(Value::String(digest))
}
