//! What an optimised integration's result says of the HTTP response.

use scones_api::Timestamp;
use serde_json::{Map, Value, json};

/// Headers with AWS's spelling, in the order of their names.
pub(super) type Headers = Vec<(&'static str, String)>;

/// Adds `SdkHttpMetadata` and `SdkResponseMetadata`.
pub(super) fn with_metadata(response: &mut Map<String, Value>, status: u16, request_id: &str, headers: Headers) {
    let all: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!([value])))
        .collect();
    let single: Map<String, Value> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let metadata = json!({"AllHttpHeaders": all, "HttpHeaders": single, "HttpStatusCode": status});
    response.insert("SdkHttpMetadata".to_owned(), metadata);
    response.insert("SdkResponseMetadata".to_owned(), json!({"RequestId": request_id}));
}

/// `Mon, 23 Nov 2026 08:14:29 GMT`.
pub(super) fn http_date(time: Timestamp) -> String {
    time.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
