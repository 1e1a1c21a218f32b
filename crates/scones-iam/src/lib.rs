//! Credentials, STS and the parts of IAM that clients ask for.
