//! Making a signature.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Uri, header};
use scones_api::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    ALGORITHM, Scope,
    canonical::{PathEncoding, Request},
};

/// The lower-case hexadecimal SHA-256 of a body.
pub fn payload_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// Signs the requests of one client.
#[derive(Clone)]
pub struct Signer {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The session token of a temporary key.
    pub session_token: Option<String>,
    /// The region to sign for.
    pub region: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// The headers to add to a request, `Authorization` among them. `headers`
    /// are signed all; `host` must be one of them.
    pub fn sign(
        &self,
        service: &str,
        method: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let hash = payload_hash(body);
        let time = now.to_utc().format("%Y%m%dT%H%M%SZ").to_string();
        let mut added = vec![("x-amz-date", time.clone()), ("x-amz-content-sha256", hash.clone())];
        added.extend(self.session_token.clone().map(|token| ("x-amz-security-token", token)));
        let mut all = headers.clone();
        for (name, value) in &added {
            // A session token that is no header value cannot be signed; the server will say so.
            all.insert(
                *name,
                HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")),
            );
        }
        let mut names: Vec<String> = all.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        let scope = Scope {
            access_key_id: self.access_key_id.clone(),
            date: time[..8].to_owned(),
            region: self.region.clone(),
            service: service.to_owned(),
        };
        let canonical = Request {
            method,
            uri,
            headers: &all,
            signed_headers: &names,
            payload_hash: &hash,
            path_encoding: PathEncoding::of(service),
        };
        let signature = hex::encode(signature(&self.secret_access_key, &scope, &time, &canonical.text()));
        let names = names.join(";");
        added.push((
            header::AUTHORIZATION.as_str(),
            format!("{ALGORITHM} Credential={scope}, SignedHeaders={names}, Signature={signature}"),
        ));
        added
    }
}

/// The signature of a canonical request.
pub(super) fn signature(secret: &str, scope: &Scope, time: &str, canonical_request: &str) -> [u8; 32] {
    let text = format!(
        "{ALGORITHM}\n{time}\n{}\n{}",
        scope.without_key(),
        payload_hash(canonical_request.as_bytes())
    );
    hmac(&signing_key(secret, scope), text.as_bytes())
}

fn signing_key(secret: &str, scope: &Scope) -> [u8; 32] {
    let parts = [scope.date.as_str(), &scope.region, &scope.service, "aws4_request"];
    let [date, rest @ ..] = parts;
    let first = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    rest.iter().fold(first, |key, part| hmac(&key, part.as_bytes()))
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}
