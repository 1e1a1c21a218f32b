//! A `Range` that names no range or several is ignored, as AWS does
//! (<https://www.rfc-editor.org/rfc/rfc9110.html#section-14.2>). `s3s` refuses
//! such a request, and the header cannot be mended beforehand, since the
//! signature may cover it. So `s3s` checks the request as it came, and one that
//! the access check admits is answered again with the header mended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Method, Request, Uri, header, uri::PathAndQuery};
use s3s::{Body, dto};

use super::refuse::decode;

/// Travels with a request whose `Range` `s3s` cannot read: whether the access
/// check admitted it as a read of an object.
#[derive(Clone, Default)]
pub(super) struct Admission(Arc<AtomicBool>);

impl Admission {
    /// Says that the request may be answered.
    pub(super) fn grant(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_granted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `request` without its signature and with a `Range` that `s3s` can read, or
/// none; nothing if it can already.
pub(super) fn mended<B>(request: &Request<B>) -> Option<Request<Body>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    let mut ranges = request.headers().get_all(header::RANGE).iter();
    let (range, another) = (ranges.next()?, ranges.next());
    let range = range.to_str().unwrap_or_default();
    let readable = readable(range).filter(|_| another.is_none());
    if readable.as_deref() == Some(range) {
        return None;
    }
    let mut mended = Request::new(Body::empty());
    *mended.method_mut() = request.method().clone();
    *mended.uri_mut() = without_signature(request.uri())?;
    *mended.headers_mut() = request.headers().clone();
    let headers = mended.headers_mut();
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::RANGE);
    if let Some(range) = readable {
        headers.insert(header::RANGE, range.parse().ok()?);
    }
    Some(mended)
}

/// The range that `s3s` is to read: numbers that are too great for it become the
/// greatest that it can read.
fn readable(range: &str) -> Option<String> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<i64>().unwrap_or(i64::MAX);
        is_number.then(|| {
            if digits.is_empty() {
                String::new()
            } else {
                number.to_string()
            }
        })
    };
    let range = format!("bytes={}-{}", number(first)?, number(last)?);
    (range != "bytes=-" && dto::Range::parse(&range).is_ok()).then_some(range)
}

fn without_signature(uri: &Uri) -> Option<Uri> {
    let query = uri.query().unwrap_or_default().split('&');
    let kept: Vec<_> = query
        .filter(|pair| {
            let name = decode(pair.split('=').next().unwrap_or_default());
            !matches!(name.as_str(), "X-Amz-Signature" | "Signature")
        })
        .collect();
    let target = format!("{}?{}", uri.path(), kept.join("&"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_made_readable_and_nonsense_is_dropped() {
        let check = |range: &str, expect: Option<&str>| assert_eq!(readable(range).as_deref(), expect, "{range}");
        let huge = "99999999999999999999";
        check("bytes=0-1", Some("bytes=0-1"));
        check("bytes=-1", Some("bytes=-1"));
        check(&format!("bytes={huge}-"), Some("bytes=9223372036854775807-"));
        check(&format!("bytes=5-{huge}"), Some("bytes=5-9223372036854775807"));
        check(&format!("bytes=-{huge}"), Some("bytes=-9223372036854775807"));
        check("bytes=5-2", None);
        check("bytes=-", None);
        check("bytes=0-1,3-4", None);
        check("bytes=a-b", None);
        check("bytes=+1-2", None);
        check("items=0-1", None);
        check("", None);
    }
}
