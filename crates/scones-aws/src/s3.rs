//! The keys that S3 requests are signed with: s3s checks those itself.

use std::sync::Arc;

use scones_iam::Iam;
use scones_s3::CredentialSource;

/// IAM's keys, as S3 asks for them.
pub struct IamSecrets(pub Arc<Iam>);

impl CredentialSource for IamSecrets {
    fn secret(&self, access_key_id: &str) -> Option<String> {
        self.0.secret(access_key_id).map(|secret| secret.expose().to_owned())
    }

    fn accepts_token(&self, access_key_id: &str, session_token: Option<&str>) -> bool {
        self.0.authenticate(access_key_id, session_token).is_ok()
    }
}
