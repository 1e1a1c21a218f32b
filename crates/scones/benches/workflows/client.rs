//! One signed keep-alive connection.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use scones_api::{Clock as _, SystemClock};
use scones_aws::sigv4::Signer;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::server::Server;

/// A client of Step Functions.
pub(crate) struct Client {
    requests: SendRequest<Full<Bytes>>,
    signer: Signer,
    headers: HeaderMap,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the client; a failure shows at the next request.
        tokio::spawn(connection);
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_str(&server.address)?);
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
        Ok(Self {
            requests,
            signer: server.signer.clone(),
            headers,
        })
    }

    /// Calls an operation; an answer other than 200 is an error.
    pub(crate) async fn call(&mut self, operation: &str, input: &Value) -> anyhow::Result<Value> {
        let body = input.to_string();
        let uri = Uri::from_static("/");
        let mut headers = self.headers.clone();
        headers.insert(
            "x-amz-target",
            HeaderValue::from_str(&format!("AWSStepFunctions.{operation}"))?,
        );
        let added = self
            .signer
            .sign("states", "POST", &uri, &headers, body.as_bytes(), SystemClock.now());
        for (name, value) in added {
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
        let mut request = Request::post(uri).body(Full::from(body))?;
        *request.headers_mut() = headers;
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{operation}: {status}: {}",
            String::from_utf8_lossy(&bytes)
        );
        serde_json::from_slice(&bytes).with_context(|| format!("the answer to {operation} is not JSON"))
    }
}
