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
    /// Whatever the operation answers; for an input without a required member
    /// what broken constraints are called; `SerializationException` for one
    /// that is not the operation's; `NotImplemented` (501) for an operation
    /// that the service does not have.
    async fn call(&self, operation: &str, input: &[u8], context: &RequestContext) -> Result<Vec<u8>, ApiError>;
}

/// Implements [`JsonService`] for a type from a table of operations. Each
/// method is `async fn(&self, Input, &RequestContext) -> Result<Output, ApiError>`
/// with `Input: Deserialize` and `Output: Serialize`; `()` serialises as an
/// empty body, as AWS answers operations without output. A service that calls
/// broken constraints something else than `ValidationException` says so.
///
/// ```ignore
/// scones_api::operations! {
///     Logs, constraints: "InvalidParameterException" {
///         "CreateLogGroup" => create_log_group,
///         "DescribeLogGroups" => describe_log_groups,
///     }
/// }
/// ```
#[macro_export]
macro_rules! operations {
    ($service:ty { $($table:tt)* }) => {
        $crate::operations! { $service, constraints: "ValidationException" { $($table)* } }
    };
    ($service:ty, constraints: $constraints:literal { $($name:literal => $method:ident),* $(,)? }) => {
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
                        let input = $crate::__private::decode(input, $constraints)?;
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
    use serde_json::{Map, Value};
    use serde_path_to_error::Segment;

    pub use async_trait::async_trait;

    use crate::{ApiError, Constraints};

    /// Reads an operation's input; an empty body is an empty object. A member
    /// that is missing is refused with the code `constraints`.
    pub fn decode<T: DeserializeOwned>(input: &[u8], constraints: &str) -> Result<T, ApiError> {
        let input = if input.is_empty() { b"{}" } else { input };
        serde_json::from_slice(input).or_else(|_| decode_patiently(input, constraints))
    }

    /// The same, slower: a member that is null is one that is absent, and a
    /// refusal says where the input is wrong.
    fn decode_patiently<T: DeserializeOwned>(input: &[u8], constraints: &str) -> Result<T, ApiError> {
        let mut members: Map<String, Value> = serde_json::from_slice(input).map_err(unreadable)?;
        members.retain(|_, value| !value.is_null());
        serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| match missing(&error) {
            Some(member) => ApiError {
                code: constraints.to_owned(),
                ..Constraints::missing(&member)
            },
            None => unreadable(error),
        })
    }

    fn unreadable(error: impl std::fmt::Display) -> ApiError {
        let message = format!("the request's JSON is not this operation's input: {error}");
        ApiError::bad_request("SerializationException", message)
    }

    /// The member whose absence is the error, as AWS names it: `tags.1.member.key`.
    fn missing(error: &serde_path_to_error::Error<serde_json::Error>) -> Option<String> {
        // Serde has no other way to tell.
        let message = error.inner().to_string();
        let name = message.strip_prefix("missing field `")?.split('`').next()?;
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => format!("{}.member.", index + 1),
            Segment::Map { key: name } | Segment::Enum { variant: name } => format!("{}.", uncapitalised(name)),
            Segment::Unknown => String::new(),
        };
        let path: String = error.path().iter().map(step).collect();
        Some(path + &uncapitalised(name))
    }

    fn uncapitalised(name: &str) -> String {
        let mut characters = name.chars();
        let first = characters.next().into_iter().flat_map(char::to_lowercase);
        first.chain(characters).collect()
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
        #[serde(default, rename = "Letters")]
        letters: Vec<Letter>,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Letter {
        sign: String,
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
        Echo, constraints: "ValidationError" {
            "Say" => say,
            "Forget" => forget,
        }
    }

    fn call(operation: &str, input: &str) -> Result<String, ApiError> {
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
            std::task::Poll::Ready(result) => result.map(|body| String::from_utf8(body).unwrap()),
            std::task::Poll::Pending => unreachable!("nothing here waits"),
        }
    }

    #[test]
    fn operations_are_found_by_name() {
        assert_eq!(Echo::OPERATIONS, ["Say", "Forget"]);
        assert_eq!(
            call("Say", r#"{"word":"x"}"#),
            Ok(r#"{"word":"x","Letters":[]}"#.to_owned())
        );
        assert_eq!(call("Forget", r#"{"word":"x"}"#), Ok(String::new()));
        assert_eq!(call("Sing", "{}").unwrap_err().status, 501);
    }

    #[test]
    fn an_input_that_is_not_the_operations_is_refused() {
        let check = |input: &str, expect: &str| {
            assert_eq!(call("Say", input).unwrap_err().to_string(), expect);
        };
        let null = |member: &str| {
            format!(
                "ValidationError: 1 validation error detected: \
                 Value null at '{member}' failed to satisfy constraint: Member must not be null"
            )
        };
        check("", &null("word"));
        check("{}", &null("word"));
        check(r#"{"word":null}"#, &null("word"));
        check(
            r#"{"word":"x","Letters":[{"Sign":"a"},{}]}"#,
            &null("letters.2.member.sign"),
        );
        let unreadable = |problem: &str| {
            format!("SerializationException: the request's JSON is not this operation's input: {problem}")
        };
        check(
            r#"{"word":1}"#,
            &unreadable("word: invalid type: number, expected a string"),
        );
        check("{", &unreadable("EOF while parsing an object at line 1 column 1"));
        check(
            "[]",
            &unreadable("invalid type: sequence, expected a map at line 1 column 0"),
        );
    }

    #[test]
    fn a_null_member_is_an_absent_one() {
        assert_eq!(
            call("Say", r#"{"word":"x","Letters":null}"#),
            Ok(r#"{"word":"x","Letters":[]}"#.to_owned())
        );
    }
}
