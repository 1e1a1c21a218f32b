//! Requests of `http:invoke`.

use std::{io::Read as _, sync::Arc};

use http::Request;
use scones_states::{
    HttpCall, HttpReply,
    limits::{HTTP_TASK, PAYLOAD_BYTES_MAX},
};
use tokio::sync::Semaphore;
use ureq::{Agent, Body, Proxy};

/// Requests at the same time; further ones wait. Each holds a thread, and
/// others need threads, too.
const REQUESTS_MAX: usize = 128;

/// Where requests are sent from.
pub(crate) struct HttpClient {
    places: Arc<Semaphore>,
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }

    /// Sends a request on a blocking thread. One that is not waited for any
    /// more ends by itself, in time.
    pub(super) async fn send(&self, call: HttpCall) -> Result<HttpReply, String> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| error.to_string())?;
        let exchanged = tokio::task::spawn_blocking(move || {
            let _place = place;
            exchange(call).map_err(|error| error.to_string())
        });
        exchanged.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn exchange(call: HttpCall) -> anyhow::Result<HttpReply> {
    let mut request = Request::builder().method(call.method.as_str()).uri(&call.url);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let request = request.body(call.body.unwrap_or_default())?;
    // What runs on this machine is never behind the proxy of the network.
    let proxy = match request.uri().host() {
        Some("localhost" | "[::1]") => None,
        Some(host) if host.starts_with("127.") => None,
        _ => Proxy::try_from_env(),
    };
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(HTTP_TASK))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .proxy(proxy)
        .build()
        .into();
    let response = match request.body().is_empty() {
        true => agent.run(request.map(|_| ()))?,
        false => agent.run(request)?,
    };
    read(response)
}

fn read(response: http::Response<Body>) -> anyhow::Result<HttpReply> {
    let (parts, body) = response.into_parts();
    let limit = u64::try_from(PAYLOAD_BYTES_MAX)? + 1;
    let mut bytes = Vec::new();
    body.into_reader().take(limit).read_to_end(&mut bytes)?;
    let headers = parts.headers.iter();
    Ok(HttpReply {
        status: parts.status.as_u16(),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: bytes,
    })
}
