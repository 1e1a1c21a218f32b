//! The functions of the story ask S3 and SageMaker through a client.

use scones_functions::{Failure, Services};

use crate::client::{Client, Error};

impl Services for Client {
    fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        Self::get_object(self, bucket, key).map_err(failure)
    }

    fn invoke_endpoint(&self, endpoint: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        Self::invoke_endpoint(self, endpoint, content_type, body).map_err(failure)
    }
}

/// A service's own code is what a state machine matches.
fn failure(error: Error) -> Failure {
    let code = error.code().unwrap_or("ConnectionError").to_owned();
    Failure::new(code, format!("{:#}", anyhow::Error::from(error)))
}
