//! Which runtimes there are and what this machine runs them with.

use std::fmt;

use scones_api::ApiError;

/// The runtimes of AWS's current list, for the message that refuses others.
const KNOWN: &[&str] = &[
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "java11",
    "java17",
    "java21",
    "java25",
    "dotnet8",
    "dotnet10",
    "ruby3.3",
    "ruby3.4",
    "provided",
    "provided.al2",
    "provided.al2023",
];

/// A runtime that this server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// `python3.MINOR`, on the machine's Python whatever its version.
    Python {
        /// The minor version that the function asks for, 8 to 14.
        minor: u8,
    },
    /// `provided`, `provided.al2` or `provided.al2023`: the package's own
    /// `bootstrap`.
    Provided,
}

impl Runtime {
    /// Reads a function's `Runtime`.
    ///
    /// # Errors
    /// `NotImplemented` for a runtime that AWS has and this server has not,
    /// `InvalidParameterValueException` for one that nobody has.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "provided" | "provided.al2" | "provided.al2023" => Ok(Self::Provided),
            _ => match text.strip_prefix("python3.").and_then(|minor| minor.parse().ok()) {
                Some(minor @ 8..=14) if KNOWN.contains(&text) => Ok(Self::Python { minor }),
                _ if KNOWN.contains(&text) => Err(ApiError::not_implemented(format_args!(
                    "the runtime {text}; python3.8 to python3.14 and provided.* run here"
                ))),
                _ => Err(ApiError::bad_request(
                    "InvalidParameterValueException",
                    format!(
                        "Value {text} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \
                         [{}] or be a valid ARN",
                        KNOWN.join(", ")
                    ),
                )),
            },
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { minor } => write!(formatter, "python3.{minor}"),
            Self::Provided => formatter.write_str("provided"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<Runtime, &str>) {
        let parsed = Runtime::parse(text);
        assert_eq!(
            parsed.as_ref().map_err(|error| error.code.as_str()),
            expect.as_ref().map_err(|code| *code)
        );
    }

    #[test]
    fn runtimes_run_or_are_refused_by_name() {
        check("python3.8", Ok(Runtime::Python { minor: 8 }));
        check("python3.14", Ok(Runtime::Python { minor: 14 }));
        check("provided.al2023", Ok(Runtime::Provided));
        check("nodejs22.x", Err("NotImplemented"));
        check("python3.7", Err("InvalidParameterValueException"));
        check("python3.08", Err("InvalidParameterValueException"));
        check("python3.15", Err("InvalidParameterValueException"));
        check("", Err("InvalidParameterValueException"));
    }
}
