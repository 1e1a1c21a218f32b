//! A service whose operations take and give JSON.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{ApiError, Caller};

/// What an operation knows about the request besides its input.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Who signed the request.
    pub caller: Arc<Caller>,
    /// The id that the answer's headers carry.
    pub request_id: String,
}

/// A service behind one of AWS's JSON protocols. Implement it with
/// [`operations!`](crate::operations).
#[async_trait]
pub trait JsonService: Send + Sync + 'static {
    /// Performs `operation` on the JSON text `input` and gives JSON text.
    ///
    /// # Errors
    /// Whatever the operation answers; `SerializationException` for an input
    /// that is not the operation's; `NotImplemented` (501) for an operation
    /// that the service does not have.
    async fn call(&self, operation: &str, input: &[u8], context: &RequestContext) -> Result<Vec<u8>, ApiError>;
}

/// Implements [`JsonService`] for a type from a table of operations. Each
/// method is `async fn(&self, Input, &RequestContext) -> Result<Output, ApiError>`
/// with `Input: Deserialize` and `Output: Serialize`; `()` serialises as an
/// empty body, as AWS answers operations without output.
///
/// ```ignore
/// scones_api::operations! {
///     Logs {
///         "CreateLogGroup" => create_log_group,
///         "DescribeLogGroups" => describe_log_groups,
///     }
/// }
/// ```
#[macro_export]
macro_rules! operations {
    ($service:ty { $($name:literal => $method:ident),* $(,)? }) => {
        #[$crate::__private::async_trait]
        impl $crate::JsonService for $service {
            async fn call(
                &self,
                operation: &str,
                input: &[u8],
                context: &$crate::RequestContext,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, $crate::ApiError> {
                match operation {
                    $($name => {
                        let input = $crate::__private::decode(input)?;
                        let output = ::std::boxed::Box::pin(self.$method(input, context)).await?;
                        $crate::__private::encode(&output)
                    })*
                    other => Err($crate::ApiError::not_implemented(other)),
                }
            }
        }

        impl $service {
            /// The operations that the service has, in the order of its table.
            pub const OPERATIONS: &'static [&'static str] = &[$($name),*];
        }
    };
}

#[doc(hidden)]
pub mod __private {
    //! What [`operations!`](crate::operations) expands to.

    use serde::{Serialize, de::DeserializeOwned};

    pub use async_trait::async_trait;

    use crate::ApiError;

    /// Reads an operation's input; an empty body is an empty object.
    pub fn decode<T: DeserializeOwned>(input: &[u8]) -> Result<T, ApiError> {
        let input = if input.is_empty() { b"{}" } else { input };
        serde_json::from_slice(input).map_err(|error| {
            ApiError::bad_request(
                "SerializationException",
                format!("the request's JSON is not this operation's input: {error}"),
            )
        })
    }

    /// Writes an operation's output; nothing (`()`) is an empty body.
    pub fn encode<T: Serialize>(output: &T) -> Result<Vec<u8>, ApiError> {
        let json = serde_json::to_vec(output).map_err(ApiError::internal)?;
        Ok(if json == b"null" { Vec::new() } else { json })
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    struct Echo;

    #[derive(Deserialize, Serialize)]
    struct Word {
        word: String,
    }

    impl Echo {
        async fn say(&self, input: Word, _: &RequestContext) -> Result<Word, ApiError> {
            Ok(input)
        }

        async fn forget(&self, _: Word, _: &RequestContext) -> Result<(), ApiError> {
            Ok(())
        }
    }

    crate::operations! {
        Echo {
            "Say" => say,
            "Forget" => forget,
        }
    }

    fn call(operation: &str, input: &str) -> Result<String, (u16, String)> {
        let caller = Caller {
            access_key_id: "k".to_owned(),
            arn: "arn:aws:iam::0:root".parse().unwrap(),
        };
        let context = RequestContext {
            caller: Arc::new(caller),
            request_id: "r".to_owned(),
        };
        let mut future = std::pin::pin!(Echo.call(operation, input.as_bytes(), &context));
        let waker = std::task::Waker::noop();
        match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(result) => result
                .map(|body| String::from_utf8(body).unwrap())
                .map_err(|error| (error.status, error.code)),
            std::task::Poll::Pending => unreachable!("nothing here waits"),
        }
    }

    #[test]
    fn operations_are_found_by_name() {
        assert_eq!(Echo::OPERATIONS, ["Say", "Forget"]);
        assert_eq!(call("Say", r#"{"word":"x"}"#), Ok(r#"{"word":"x"}"#.to_owned()));
        assert_eq!(call("Forget", r#"{"word":"x"}"#), Ok(String::new()));
        assert_eq!(call("Say", "{}"), Err((400, "SerializationException".to_owned())));
        assert_eq!(call("Say", "{"), Err((400, "SerializationException".to_owned())));
        assert_eq!(call("Sing", "{}"), Err((501, "NotImplemented".to_owned())));
    }
}
