//! S3 behind the port: s3s checks signatures and streams bodies itself.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use scones_iam::Iam;
use scones_s3::{CredentialSource, S3Http};

use crate::{StreamService, protocol::Body};

/// S3's REST protocol as one of the port's services.
pub struct S3Stream(pub S3Http);

#[async_trait]
impl StreamService for S3Stream {
    async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        self.0
            .respond(request)
            .await
            .map(|body| body.map_err(Into::into).boxed_unsync())
    }
}

/// The keys that S3 requests are signed with.
pub struct IamSecrets(pub Arc<Iam>);

impl CredentialSource for IamSecrets {
    fn secret(&self, access_key_id: &str) -> Option<String> {
        self.0.secret(access_key_id).map(|secret| secret.expose().to_owned())
    }

    fn accepts_token(&self, access_key_id: &str, session_token: Option<&str>) -> bool {
        self.0.authenticate(access_key_id, session_token).is_ok()
    }
}
