//! REST-JSON: the method and the path name the operation, and path, query and
//! body together are its input.
//! <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html>

use http::{HeaderName, HeaderValue, Method, Response, Uri};
use percent_encoding::percent_decode_str;
use scones_api::ApiError;
use serde_json::{Map, Value, json};

use super::{Body, json::answer};

/// One operation's place in the URL space.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// `{Name}` stands for one segment and becomes that member of the input.
    pub(crate) path: &'static str,
    pub(crate) operation: &'static str,
    /// The status of a success.
    pub(crate) status: u16,
    /// A `name=value` that the query must have: some operations share a path.
    pub(crate) query: Option<&'static str>,
}

impl Route {
    pub(crate) const fn new(method: Method, path: &'static str, operation: &'static str, status: u16) -> Self {
        Self {
            method,
            path,
            operation,
            status,
            query: None,
        }
    }

    /// The same, only if the query has this `name=value`.
    pub(crate) const fn with_query(mut self, query: &'static str) -> Self {
        self.query = Some(query);
        self
    }

    fn matches_query(&self, uri: &Uri) -> bool {
        self.query
            .is_none_or(|wanted| uri.query().unwrap_or_default().split('&').any(|pair| pair == wanted))
    }

    /// The path's members, if `path` is one of this route's. A trailing slash
    /// makes no difference: older clients send one.
    fn members(&self, path: &str) -> Option<Vec<(&'static str, String)>> {
        let mut found = path.trim_end_matches('/').split('/');
        let mut members = Vec::new();
        for wanted in self.path.split('/') {
            let segment = found.next()?;
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !segment.is_empty() => {
                    members.push((name, percent_decode_str(segment).decode_utf8().ok()?.into_owned()));
                }
                None if segment == wanted => {}
                _ => return None,
            }
        }
        found.next().is_none().then_some(members)
    }
}

/// Finds a request's route and what its path and query say.
pub(crate) fn find(
    routes: &'static [Route],
    method: &Method,
    uri: &Uri,
) -> Option<(&'static Route, Map<String, Value>)> {
    routes
        .iter()
        .filter(|route| route.method == *method && route.matches_query(uri))
        .find_map(|route| {
            let mut input: Map<String, Value> = route
                .members(uri.path())?
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            for pair in uri
                .query()
                .unwrap_or_default()
                .split('&')
                .filter(|pair| !pair.is_empty())
            {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let value = percent_decode_str(&value.replace('+', " "))
                    .decode_utf8_lossy()
                    .into_owned();
                add_parameter(&mut input, name, value);
            }
            Some((route, input))
        })
}

/// A query parameter under its member's name: `tagKeys` (a list) is the one
/// that differs, `MaxItems` the one that is a number.
fn add_parameter(input: &mut Map<String, Value>, name: &str, value: String) {
    match name {
        "tagKeys" => {
            if let Value::Array(keys) = input.entry("TagKeys").or_insert_with(|| Value::Array(Vec::new())) {
                keys.push(value.into());
            }
        }
        "MaxItems" => {
            let number = value.parse::<i64>().map_or(Value::String(value), Value::from);
            input.insert(name.to_owned(), number);
        }
        name => {
            input.insert(name.to_owned(), value.into());
        }
    }
}

/// Path and query over the body's members.
pub(crate) fn merged(body: &[u8], input: Map<String, Value>) -> Result<Vec<u8>, ApiError> {
    let not_an_object = |found: &str| {
        ApiError::bad_request(
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {found}"),
        )
    };
    let mut members = if body.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(not_an_object("it is not an object")),
            Err(error) => return Err(not_an_object(&error.to_string())),
        }
    };
    members.extend(input);
    serde_json::to_vec(&members).map_err(ApiError::internal)
}

pub(crate) fn respond(status: u16, result: Result<Vec<u8>, ApiError>) -> Response<Body> {
    match result {
        Ok(bytes) => answer(status, HeaderValue::from_static("application/json"), bytes),
        Err(error) => refuse(&error),
    }
}

/// An error in the form of Lambda and the SageMaker runtime.
pub(crate) fn refuse(error: &ApiError) -> Response<Body> {
    let kind = if error.is_server_fault() { "Service" } else { "User" };
    let body = json!({"Type": kind, "Message": error.message, "message": error.message});
    let mut response = answer(
        error.status,
        HeaderValue::from_static("application/json"),
        body.to_string(),
    );
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-amzn-errortype"), code);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[Route] = &[
        Route::new(Method::GET, "/v/functions", "List", 200),
        Route::new(Method::GET, "/v/functions/{FunctionName}", "Get", 200),
        Route::new(Method::DELETE, "/v/tags/{ARN}", "Untag", 204),
    ];

    fn check(method: Method, uri: &str, expected: Option<(&str, Value)>) {
        let found = find(ROUTES, &method, &uri.parse().unwrap());
        assert_eq!(
            found.map(|(route, input)| (route.operation, Value::Object(input))),
            expected,
            "{uri}"
        );
    }

    #[test]
    fn a_route_is_found_by_method_and_path() {
        check(Method::GET, "/v/functions", Some(("List", json!({}))));
        check(
            Method::GET,
            "/v/functions/?MaxItems=3&Marker=a%2Fb",
            Some(("List", json!({"MaxItems": 3, "Marker": "a/b"}))),
        );
        check(
            Method::GET,
            "/v/functions/arn%3Aaws%3Ax",
            Some(("Get", json!({"FunctionName": "arn:aws:x"}))),
        );
        check(
            Method::DELETE,
            "/v/tags/a?tagKeys=x&tagKeys=y",
            Some(("Untag", json!({"ARN": "a", "TagKeys": ["x", "y"]}))),
        );
        check(Method::POST, "/v/functions", None);
        check(Method::GET, "/v/functions/a/b", None);
        check(Method::GET, "/v", None);
        check(Method::GET, "/v/functions/%ff", None);
    }

    #[test]
    fn the_path_wins_over_the_body() {
        let path = Map::from_iter([("A".to_owned(), json!("path"))]);
        let input = merged(br#"{"A":"body","B":1}"#, path.clone()).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&input).unwrap(),
            json!({"A": "path", "B": 1})
        );
        assert_eq!(merged(b"", path.clone()).unwrap(), br#"{"A":"path"}"#);
        for body in [&b"[]"[..], b"{", b"\xff"] {
            assert_eq!(
                merged(body, path.clone()).unwrap_err().code,
                "InvalidRequestContentException"
            );
        }
    }
}
