//! Whose signatures are accepted.

use std::sync::Arc;

use s3s::{
    S3Error, S3ErrorCode, S3Result,
    auth::{S3Auth, SecretKey},
};

/// Where secret keys are looked up.
pub trait CredentialSource: Send + Sync + 'static {
    /// The secret key of an access key, if there is one.
    fn secret(&self, access_key_id: &str) -> Option<String>;

    /// Whether a request that is signed with this key may carry this session
    /// token, or none. By default keys last and come without tokens.
    fn accepts_token(&self, access_key_id: &str, session_token: Option<&str>) -> bool {
        let _ = access_key_id;
        session_token.is_none()
    }
}

/// A [`CredentialSource`] as `s3s` asks it.
pub(super) struct Keys(pub(super) Arc<dyn CredentialSource>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.0.secret(access_key);
        secret.map(SecretKey::from).ok_or_else(|| {
            S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records.",
            )
        })
    }
}
