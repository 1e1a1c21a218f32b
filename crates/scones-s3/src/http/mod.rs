//! S3 over HTTP: `s3s` checks signatures, reads requests and writes answers;
//! this module adds what AWS says beyond that and connects the operations.

mod auth;
mod blob;
mod body;
mod buckets;
mod convert;
mod framing;
mod headers;
mod json;
mod listing;
mod multipart;
mod objects;
mod operations;
mod range;
mod refuse;
mod signature;
mod unconfigured;
mod upload;

use std::{error::Error as StdError, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use s3s::{
    Body, HttpError,
    config::{S3Config, StaticConfigProvider},
    service::{S3Service, S3ServiceBuilder},
};
use scones_api::ApiError;
use uuid::Uuid;

pub use auth::CredentialSource;

use crate::{
    S3,
    limits::{CLOCK_SKEW_SECONDS_MAX, XML_BYTES_MAX},
};

impl S3 {
    /// This store behind S3's REST protocol, for the keys that `credentials`
    /// knows.
    pub fn http_service(&self, credentials: Arc<dyn CredentialSource>) -> S3Http {
        let mut guarded = self.service_builder();
        guarded.set_auth(auth::Keys(Arc::clone(&credentials)));
        guarded.set_access(refuse::Guard {
            credentials,
            account: self.owner.account.to_string(),
        });
        S3Http {
            guarded: guarded.build(),
            unguarded: self.service_builder().build(),
            region: self.owner.region.to_string().into(),
        }
    }

    /// This store behind `s3s`, without any checks.
    fn service_builder(&self) -> S3ServiceBuilder {
        let mut config = S3Config::default();
        config.xml_max_body_size = XML_BYTES_MAX;
        config.presigned_url_max_skew_time_secs = CLOCK_SKEW_SECONDS_MAX;
        let mut builder = S3ServiceBuilder::new(operations::Operations(self.clone()));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder
    }
}

/// S3's REST protocol, path style. It answers every request, so it never fails.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct S3Http {
    guarded: S3Service,
    /// The same without checks, for requests that have passed them.
    unguarded: S3Service,
    /// Which requests must be signed for.
    region: Arc<str>,
}

impl S3Http {
    /// Answers one request; the answer carries an `x-amz-request-id`.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: StdError + Send + Sync + 'static,
    {
        let id = Uuid::new_v4().simple().to_string().to_ascii_uppercase()[..16].to_owned();
        let query = request.uri().query().unwrap_or_default();
        let other_region = signature::other_region(request.headers(), query, &self.region);
        let asked = Asked {
            path: request.uri().path().to_owned(),
            region: other_region.is_some().then(|| Arc::clone(&self.region)),
            head: request.method() == Method::HEAD,
            copies: request.headers().contains_key("x-amz-copy-source"),
        };
        let checked = signature::check(request.headers()).and(other_region.map_or(Ok(()), Err));
        let prepared = match checked {
            Ok(()) => body::prepare(request).await,
            Err(error) => Err(error),
        };
        let answer = match prepared {
            Ok(request) => self.call(request).await.unwrap_or_else(|error| {
                let error: Box<dyn StdError + Send + Sync> = error.into();
                tracing::error!(request_id = id, error = &*error as &dyn StdError, "a request failed");
                error_response(&ApiError::new(
                    500,
                    "InternalError",
                    "We encountered an internal error. Please try again.",
                ))
            }),
            Err(error) => error_response(&error),
        };
        dress(answer, &id, &asked)
    }

    async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, HttpError> {
        let Some(mended) = range::mended(&request) else {
            return self.guarded.call(request).await;
        };
        let admission = range::Admission::default();
        request.extensions_mut().insert(admission.clone());
        let answer = self.guarded.call(request).await?;
        if admission.is_granted() {
            return self.unguarded.call(mended).await;
        }
        Ok(answer)
    }
}

fn error_response(error: &ApiError) -> Response<Body> {
    convert::s3_error(error.clone()).to_http_response().unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A status that an operation wants and `s3s` would not give: carried in the
/// answer's extensions.
#[derive(Clone, Copy)]
struct Status(StatusCode);

/// What an error says of the request that it answers.
struct Asked {
    /// With its escapes.
    path: String,
    head: bool,
    /// Whether an object is copied: an error may be about either of two.
    copies: bool,
    /// The region that the request should have been signed for, if it was not.
    region: Option<Arc<str>>,
}

impl Asked {
    /// The element that names what an error with this code misses, or expects.
    fn missing(&self, code: &str) -> Option<String> {
        let path = self.path.strip_prefix('/').filter(|_| !self.copies)?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (element, name) = match code {
            "NoSuchBucket" => ("BucketName", bucket),
            "NoSuchKey" => ("Key", key),
            "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" => {
                return Some(format!("<Region>{}</Region>", self.region.as_ref()?));
            }
            _ => return None,
        };
        let name = escape(&convert::printable(&refuse::decode(name)));
        Some(format!("<{element}>{name}</{element}>"))
    }
}

/// Adds what AWS's answers have and `s3s` does not write: the request id and,
/// in errors, a message and the resource.
fn dress(mut response: Response<Body>, id: &str, asked: &Asked) -> Response<Body> {
    if let Some(&Status(wanted)) = response.extensions().get() {
        *response.status_mut() = wanted;
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        if asked.head {
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(header::CONTENT_LENGTH);
        } else if let Some(xml) = response.body().bytes() {
            let xml = complete_error(&String::from_utf8_lossy(&xml), id, asked);
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(xml);
        }
    } else if status == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/xml")
    {
        keep_carriage_returns(&mut response);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("x-amz-request-id", value.clone());
        headers.insert("x-amz-id-2", value);
    }
    if let Some(region) = asked
        .region
        .as_deref()
        .and_then(|name| HeaderValue::from_str(name).ok())
    {
        // Clients sign again for this region.
        headers.insert("x-amz-bucket-region", region);
    }
    headers.insert(header::SERVER, HeaderValue::from_static("Scones"));
    response
}

/// Writes carriage returns in a document's keys as references: parsers make line
/// feeds of them otherwise. An object's body is a stream and stays as it is.
fn keep_carriage_returns(response: &mut Response<Body>) {
    let xml = response.body().bytes().filter(|xml| xml.contains(&b'\r'));
    if let Some(xml) = xml {
        let xml = String::from_utf8_lossy(&xml).replace('\r', "&#13;");
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(xml);
    }
}

/// What `s3s` says in words of its own, and AWS's.
const REWORDED: [(&str, &str); 2] = [
    (
        "<Message>request time is too far from server time</Message>",
        "<Message>The difference between the request time and the current time is too large.</Message>",
    ),
    (
        "<Code>InvalidRequest</Code><Message>invalid header: authorization</Message>",
        "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header that you provided is not valid.</Message>",
    ),
];

/// Completes `<Error><Code>..</Code></Error>`.
fn complete_error(xml: &str, id: &str, asked: &Asked) -> String {
    let Some(start) = xml.strip_suffix("</Error>") else {
        return xml.to_owned();
    };
    let mut text = start.to_owned();
    for (theirs, aws) in REWORDED {
        text = text.replace(theirs, aws);
    }
    let code = start
        .split("<Code>")
        .nth(1)
        .and_then(|rest| rest.split("</Code>").next())
        .unwrap_or_default();
    if !start.contains("<Message>") {
        text += &format!("<Message>{}</Message>", usual_message(code));
    }
    text += &asked.missing(code).unwrap_or_default();
    let resource = escape(&asked.path);
    text += &format!("<Resource>{resource}</Resource><RequestId>{id}</RequestId><HostId>{id}</HostId></Error>");
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// AWS's words for the codes that `s3s` gives without any.
fn usual_message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "IncompleteBody" => "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        "InternalError" => "We encountered an internal error. Please try again.",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "KeyTooLongError" => "Your key is too long",
        "MalformedXML" => "The XML you provided was not well-formed or did not validate against our published schema",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. \
             Check your key and signing method."
        }
        _ => "The request could not be carried out.",
    }
}
