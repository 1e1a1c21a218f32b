//! The canonical request: one text for all the ways to write a request.

use http::{HeaderMap, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, for a path: slashes stay.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The parameter that a presigned request cannot sign: the signature itself.
const SIGNATURE: &str = "X-Amz-Signature";

/// How often a path is encoded before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathEncoding {
    /// S3: as on the wire.
    Once,
    /// Every other service: what is on the wire is encoded again.
    Twice,
}

impl PathEncoding {
    pub(super) fn of(service: &str) -> Self {
        if service == "s3" { Self::Once } else { Self::Twice }
    }
}

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) signed_headers: &'a [String],
    pub(super) payload_hash: &'a str,
    pub(super) path_encoding: PathEncoding,
}

impl Request<'_> {
    pub(super) fn text(&self) -> String {
        let path = match self.path_encoding {
            PathEncoding::Once => once_encoded(self.uri.path()),
            PathEncoding::Twice => twice_encoded(self.uri.path()),
        };
        let mut text = format!(
            "{}\n{path}\n{}\n",
            self.method,
            query(self.uri.query().unwrap_or_default())
        );
        for name in self.signed_headers {
            text += &format!("{name}:{}\n", header(self.headers, self.uri, name));
        }
        text + "\n" + &self.signed_headers.join(";") + "\n" + self.payload_hash
    }
}

fn once_encoded(path: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    percent_encoding::percent_encode(&decoded, ENCODED_PATH).to_string()
}

/// `.` and `..` and empty segments are resolved first, as RFC 3986 does.
fn twice_encoded(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let slash = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    utf8_percent_encode(&format!("/{}{slash}", segments.join("/")), ENCODED_PATH).to_string()
}

fn query(query: &str) -> String {
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (recoded(name), recoded(value)))
        .filter(|(name, _)| name != SIGNATURE)
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

fn recoded(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encoding::percent_encode(&decoded, ENCODED).to_string()
}

/// The values of a header, joined by commas, runs of spaces made one. An
/// HTTP/2 request carries its host in the URI.
fn header(headers: &HeaderMap, uri: &Uri, name: &str) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    match (values.is_empty(), name, uri.authority()) {
        (true, "host", Some(authority)) => authority.to_string(),
        _ => values.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_and_encoded_twice() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("/a/./b/../c", "/a/c"),
            ("//a//b/", "/a/b/"),
            ("/functions/my%20f", "/functions/my%2520f"),
            ("/x/arn:aws:lambda", "/x/arn%3Aaws%3Alambda"),
        ] {
            assert_eq!(twice_encoded(path), expected, "{path}");
        }
        assert_eq!(once_encoded("/b/a%20b+c/../d"), "/b/a%20b%2Bc/../d");
    }

    #[test]
    fn a_query_is_sorted_by_its_encoded_form() {
        for (text, expected) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a", "a="),
            ("a=%7e&a=%2F&a=x+y", "a=%2F&a=x%2By&a=~"),
            ("X-Amz-Signature=1&x=2", "x=2"),
        ] {
            assert_eq!(query(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn canonical_forms_are_stable(path in "(/[ -~&&[^/?#%]]{0,8}){0,4}", text in "[ -~&&[^#%]]{0,40}") {
            proptest::prop_assert_eq!(once_encoded(&once_encoded(&path)), once_encoded(&path));
            proptest::prop_assert_eq!(query(&query(&text)), query(&text));
        }
    }
}
