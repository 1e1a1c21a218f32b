//! A store in a temporary directory, S3 on it, and signed requests.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use scones_api::{Clock as _, Owner, SystemClock, Timestamp};
use scones_s3::{CredentialSource, S3, S3Http};
use scones_store::SqliteStore;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
/// A key that comes with the session token `token`.
pub const TEMPORARY_KEY: &str = "ASIAEXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct OneKey;

impl CredentialSource for OneKey {
    fn secret(&self, access_key_id: &str) -> Option<String> {
        [ACCESS_KEY, TEMPORARY_KEY]
            .contains(&access_key_id)
            .then(|| SECRET_KEY.to_owned())
    }

    fn accepts_token(&self, access_key_id: &str, session_token: Option<&str>) -> bool {
        session_token == (access_key_id == TEMPORARY_KEY).then_some("token")
    }
}

/// S3 over a store of its own.
pub struct Harness {
    pub directory: TempDir,
    pub store: Arc<SqliteStore>,
    pub s3: Arc<S3>,
    pub http: S3Http,
}

impl Harness {
    pub async fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap()).await
    }

    /// One with the bucket `bucket`.
    pub async fn with_bucket() -> Self {
        let harness = Self::new().await;
        harness.create_bucket("bucket").await;
        harness
    }

    pub async fn create_bucket(&self, bucket: &str) {
        let answer = self.call(Method::PUT, &format!("/{bucket}"), &[], b"").await;
        assert_eq!(answer.outcome(), (200, String::new()), "{}", answer.text());
    }

    async fn over(directory: TempDir) -> Self {
        let store = open(directory.path()).await;
        let s3 = S3::start(store.clone(), Owner::default(), Arc::new(SystemClock))
            .await
            .unwrap();
        s3.swept().await;
        let http = s3.http_service(Arc::new(OneKey));
        Self {
            directory,
            store,
            s3,
            http,
        }
    }

    /// The same directory, started again.
    pub async fn restarted(self) -> Self {
        self.s3.shutdown().await;
        self.store.close().await;
        let Self {
            directory,
            store,
            s3,
            http,
        } = self;
        drop((store, s3, http));
        Self::over(directory).await
    }

    pub async fn blobs(&self) -> usize {
        use scones_store::Blobs as _;
        self.store.list_blobs("s3", None, 1000).await.unwrap().len()
    }

    pub async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let response = self.http.respond(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body }
    }

    /// Signs and sends a request with a whole body.
    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut signing = Signing::new(method, path);
        for (name, value) in headers {
            signing = signing.header(name, value);
        }
        let (parts, ()) = signing.payload(body).sign().into_parts();
        self.send(Request::from_parts(parts, Full::new(Bytes::copy_from_slice(body))))
            .await
    }
}

/// Opens a store; one that was just closed may hold its lock a moment longer.
async fn open(directory: &Path) -> Arc<SqliteStore> {
    for _ in 0..500 {
        if let Ok(store) = SqliteStore::open(directory) {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    SqliteStore::open(directory).unwrap()
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What stands in the first element called so.
    pub fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let rest = text.split(&format!("<{name}>")).nth(1)?;
        Some(rest.split(&format!("</{name}>")).next()?.to_owned())
    }

    /// The status, and the error's code if it is an error.
    pub fn outcome(&self) -> (u16, String) {
        let code = self
            .element("Code")
            .filter(|_| self.status.is_client_error() || self.status.is_server_error());
        (self.status.as_u16(), code.unwrap_or_default())
    }
}

pub fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A request that is to be signed with Signature Version 4
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
/// Its path is already encoded, its query sorted.
pub struct Signing {
    method: Method,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    payload: String,
    time: Timestamp,
    region: &'static str,
    pub access_key: String,
    pub secret_key: String,
}

impl Signing {
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: vec![("host".to_owned(), "localhost".to_owned())],
            payload: "UNSIGNED-PAYLOAD".to_owned(),
            time: SystemClock.now(),
            region: "us-east-1",
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    pub fn payload(mut self, body: &[u8]) -> Self {
        self.payload = sha256(body);
        self.header("content-length", &body.len().to_string())
    }

    /// The name of a way to sign, in the place of a hash.
    pub fn payload_named(mut self, name: &str) -> Self {
        self.payload = name.to_owned();
        self
    }

    pub fn at(mut self, time: Timestamp) -> Self {
        self.time = time;
        self
    }

    pub fn in_region(mut self, region: &'static str) -> Self {
        self.region = region;
        self
    }

    pub fn date(&self) -> String {
        self.time.to_utc().format("%Y%m%dT%H%M%SZ").to_string()
    }

    pub fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &self.date()[..8], self.region)
    }

    pub fn key(&self) -> Vec<u8> {
        let date = hmac(format!("AWS4{}", self.secret_key).as_bytes(), &self.date()[..8]);
        hmac(&hmac(&hmac(&date, self.region), "s3"), "aws4_request")
    }

    fn canonical(&self, query: &str, headers: &[(String, String)], payload: &str) -> String {
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let query: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                if pair.contains('=') {
                    pair.to_owned()
                } else {
                    format!("{pair}=")
                }
            })
            .collect();
        format!(
            "{}\n{}\n{}\n{lines}\n{}\n{payload}",
            self.method,
            self.path,
            query.join("&"),
            names(headers)
        )
    }

    fn signature(&self, canonical: &str) -> String {
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.date(),
            self.scope(),
            sha256(canonical.as_bytes())
        );
        hex::encode(hmac(&self.key(), &text))
    }

    /// The request with its signature in a header.
    pub fn sign(self) -> Request<()> {
        let mut headers = self.headers.clone();
        headers.push(("x-amz-content-sha256".to_owned(), self.payload.clone()));
        headers.push(("x-amz-date".to_owned(), self.date()));
        headers.sort();
        let signature = self.signature(&self.canonical(&self.query, &headers, &self.payload));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.access_key,
            self.scope(),
            names(&headers)
        );
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}?{}", self.path, self.query));
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        request.header("authorization", authorization).body(()).unwrap()
    }

    /// The request with its signature in the query. Lives for `seconds`.
    pub fn presign(self, seconds: u64) -> Request<()> {
        let credential = format!("{}/{}", self.access_key, self.scope()).replace('/', "%2F");
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires={seconds}\
             &X-Amz-SignedHeaders=host",
            self.date()
        );
        let headers = vec![("host".to_owned(), "localhost".to_owned())];
        let signature = self.signature(&self.canonical(&query, &headers, "UNSIGNED-PAYLOAD"));
        Request::builder()
            .method(self.method)
            .uri(format!("{}?{query}&X-Amz-Signature={signature}", self.path))
            .header("host", "localhost")
            .body(())
            .unwrap()
    }
}

fn names(headers: &[(String, String)]) -> String {
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

/// The signature of a signed request.
pub fn signature_of(request: &Request<()>) -> String {
    let header = request.headers()["authorization"].to_str().unwrap();
    header.split("Signature=").nth(1).unwrap().to_owned()
}
