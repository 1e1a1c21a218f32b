//! Signature Version 4: what is signed, signing, and checking a signature.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! Pure: the time, the secret and the body's hash come in as arguments. S3 has
//! its own rules (one URI encoding, chunked bodies) and its own checker in s3s.

mod canonical;
mod scope;
mod sign;
mod verify;

pub use scope::Scope;
pub use sign::{Signer, payload_hash};
pub use verify::{Presented, SignatureError, verify};

/// The name of the only algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far a signature's time may lie from the server's, in either direction:
/// what AWS allows everywhere but in S3.
pub const SKEW_MAX: std::time::Duration = std::time::Duration::from_mins(5);

/// How many seconds a presigned request may stay valid: seven days.
pub const PRESIGNED_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;
