//! S3 and SageMaker over HTTP.

use std::{env, io::Read as _, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use scones_api::Timestamp;

use crate::{Error, Failure, Services};

/// The most that is read of an answer, in bytes: what a function may return
/// cannot be larger (6 MB).
const BODY_BYTES_MAX: u64 = 6_291_556;

/// What stays as it is in a path: RFC 3986's unreserved characters and `/`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Signs requests with Signature Version 4.
pub trait Sign {
    /// The headers to add to a request, whose own headers, `host` among them,
    /// are all signed.
    fn sign(
        &self,
        service: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(HeaderName, HeaderValue)>;
}

/// The services that the environment leads to: `AWS_ENDPOINT_URL` here, AWS's
/// own hosts in a region without it.
pub struct Aws<S> {
    signer: S,
    region: String,
    endpoint_url: Option<String>,
    agent: ureq::Agent,
}

impl<S: Sign> Aws<S> {
    /// Reads `AWS_REGION` and `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// [`Error::NotInLambda`] without a region.
    pub fn from_environment(signer: S) -> Result<Self, Error> {
        let region = env::var("AWS_REGION").map_err(|_| Error::NotInLambda("AWS_REGION"))?;
        let endpoint_url = env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty());
        Ok(Self {
            signer,
            region,
            endpoint_url: endpoint_url.map(|url| url.trim_end_matches('/').to_owned()),
            agent: ureq::Agent::config_builder().http_status_as_error(false).build().into(),
        })
    }

    fn url(&self, host: &str, path: &str) -> Result<Uri, Failure> {
        let region = &self.region;
        let base = match &self.endpoint_url {
            Some(url) => url.clone(),
            None => format!("https://{host}.{region}.amazonaws.com"),
        };
        let url = format!("{base}{}", utf8_percent_encode(path, PATH));
        url.parse()
            .map_err(|error| Failure::new("InvalidUrl", format!("`{url}` is not a URL: {error}")))
    }

    fn send(
        &self,
        service: &str,
        method: Method,
        uri: Uri,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::new("InvalidRequest", error.to_string());
        let mut headers = HeaderMap::new();
        let host = uri.authority().map_or("", http::uri::Authority::as_str);
        headers.insert(
            header::HOST,
            HeaderValue::from_str(host).map_err(|error| invalid(&error))?,
        );
        if let Some(content_type) = content_type {
            let value = HeaderValue::from_str(content_type).map_err(|error| invalid(&error))?;
            headers.insert(header::CONTENT_TYPE, value);
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let signature = self.signer.sign(service, &method, &uri, &headers, body, now);
        headers.extend(signature.into_iter().map(|(name, value)| (Some(name), value)));
        let mut request = Request::builder()
            .method(method)
            .uri(uri.clone())
            .body(body.to_vec())
            .map_err(|error| invalid(&error))?;
        *request.headers_mut() = headers;
        let failed =
            |error: &dyn std::fmt::Display| Failure::new("ConnectionError", format!("{uri} does not answer: {error}"));
        let response = self.agent.run(request).map_err(|error| failed(&error))?;
        let status = response.status();
        let code = response
            .headers()
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(':').next().unwrap_or(value).to_owned());
        let mut answer = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(BODY_BYTES_MAX + 1)
            .read_to_end(&mut answer)
            .map_err(|error| failed(&error))?;
        if answer.len() as u64 > BODY_BYTES_MAX {
            return Err(Failure::new(
                "TooLarge",
                format!("{uri} answers with more than {BODY_BYTES_MAX} bytes"),
            ));
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(&answer);
            let kind = code
                .or_else(|| xml_code(&text))
                .unwrap_or_else(|| "ClientError".to_owned());
            return Err(Failure::new(
                kind,
                format!("{service} answered {status}: {}", text.trim()),
            ));
        }
        Ok(answer)
    }
}

impl<S: Sign> Services for Aws<S> {
    fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        let uri = self.url("s3", &format!("/{bucket}/{key}"))?;
        self.send("s3", Method::GET, uri, None, &[])
    }

    fn invoke_endpoint(&self, endpoint: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let uri = self.url("runtime.sagemaker", &format!("/endpoints/{endpoint}/invocations"))?;
        self.send("sagemaker", Method::POST, uri, Some(content_type), body)
    }
}

/// The code in S3's XML errors.
fn xml_code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.to_owned())
}
