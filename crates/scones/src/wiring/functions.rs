//! The Scones functions sign what they send.

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use scones_api::Timestamp;
use scones_aws::sigv4::Signer;
use scones_functions::Sign;

/// Signatures with a key of the environment.
pub(crate) struct SignedBy(Signer);

impl SignedBy {
    /// The key that Lambda gives its functions.
    pub(crate) fn environment() -> anyhow::Result<Self> {
        let variable =
            |name: &str| std::env::var(name).with_context(|| format!("the environment variable {name} is not set"));
        Ok(Self(Signer {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: std::env::var("AWS_SESSION_TOKEN").ok(),
            region: variable("AWS_REGION")?,
        }))
    }
}

impl Sign for SignedBy {
    fn sign(
        &self,
        service: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let added = self.0.sign(service, method.as_str(), uri, headers, body, now);
        added
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
            .collect()
    }
}
