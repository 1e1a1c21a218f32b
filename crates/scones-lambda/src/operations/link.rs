//! Links to deployment packages: GetFunction gives a URL that works for ten
//! minutes and needs no signature besides its own.

use hmac::{Hmac, KeyInit as _, Mac as _};
use scones_api::{ApiError, Timestamp};
use scones_store::BlobReader;
use serde::Deserialize;
use sha2::Sha256;

use crate::{Lambda, function::Version, limits::CODE_LINK_LIFETIME, name::FunctionReference};

/// The path under which the edge serves packages.
const PATH: &str = "/_scones/lambda/code";

/// The query of a link to a package.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CodeLink {
    /// The function's name.
    pub function: String,
    /// The version: `$LATEST` or a number.
    pub version: String,
    /// Milliseconds since the epoch.
    pub expires: i64,
    /// What this server made of the rest, in hexadecimal.
    pub signature: String,
}

/// The signature is not for logs.
impl std::fmt::Debug for CodeLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CodeLink")
            .field("function", &self.function)
            .field("version", &self.version)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A deployment package that can be read.
pub struct CodePackage {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes: a zip archive.
    pub reader: BlobReader,
}

impl Lambda {
    /// The link to the package of `version`.
    pub(super) fn code_link(&self, version: &Version) -> Result<String, ApiError> {
        let expires = (self.clock.now() + CODE_LINK_LIFETIME).as_millis();
        let signature = hex::encode(
            self.sign(&version.name, &version.version, expires)?
                .finalize()
                .into_bytes(),
        );
        let encoded = version.version.replace('$', "%24");
        let endpoint = self.environment.endpoint_url.trim_end_matches('/');
        Ok(format!(
            "{endpoint}{PATH}?Function={}&Version={encoded}&Expires={expires}&Signature={signature}",
            version.name
        ))
    }

    /// Opens the package that a link leads to. The edge serves it at
    /// `GET /_scones/lambda/code`, unsigned: the link is its own signature.
    ///
    /// # Errors
    /// `AccessDenied` (403) for a link that was not made here or has expired,
    /// `ResourceNotFoundException` for a function that is gone.
    pub async fn open_code(&self, link: &CodeLink) -> Result<CodePackage, ApiError> {
        let denied = || {
            ApiError::new(
                403,
                "AccessDenied",
                "this link to a package is not valid or has expired",
            )
        };
        let signature = hex::decode(&link.signature).map_err(|_| denied())?;
        self.sign(&link.function, &link.version, link.expires)?
            .verify_slice(&signature)
            .map_err(|_| denied())?;
        if self.clock.now() > Timestamp::from_millis(link.expires) {
            return Err(denied());
        }
        let reference = FunctionReference::resolve(&link.function, Some(&link.version), &self.owner)?;
        let function = self.function(&reference.name, Some(&link.version)).await?;
        let code = &function.version(Some(&link.version), 1.0, &self.owner)?.code;
        Ok(CodePackage {
            size: code.size,
            reader: self.store.open_blob(&code.blob, 0..code.size).await?,
        })
    }

    fn sign(&self, function: &str, version: &str, expires: i64) -> Result<Hmac<Sha256>, ApiError> {
        let key = self.environment.secret_access_key.as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(ApiError::internal)?;
        mac.update(format!("lambda code\n{function}\n{version}\n{expires}").as_bytes());
        Ok(mac)
    }
}
