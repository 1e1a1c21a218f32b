//! Which runtimes there are and what this machine runs them with.

use std::fmt;

use scones_api::ApiError;

/// Every runtime that AWS has or had, in the order of its own list.
const KNOWN: &[&str] = &[
    "nodejs",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "java8",
    "java8.al2",
    "java8.al2023",
    "java11",
    "java11.al2023",
    "java17",
    "java17.al2023",
    "java21",
    "java25",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3.15",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
];

/// A runtime that this server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// `python3.MINOR`, on the machine's Python whatever its version.
    Python {
        /// The minor version that the function asks for, 8 to 15.
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
    /// `NotImplemented` for a runtime that AWS has or had and this server has
    /// not, `InvalidParameterValueException` for one that nobody has.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "provided" | "provided.al2" | "provided.al2023" => Ok(Self::Provided),
            _ => match text.strip_prefix("python3.").and_then(|minor| minor.parse().ok()) {
                Some(minor @ 8..=15) if KNOWN.contains(&text) => Ok(Self::Python { minor }),
                _ if KNOWN.contains(&text) => Err(ApiError::not_implemented(format_args!(
                    "the runtime {text}; it runs python3.8 to python3.15, provided, provided.al2 and provided.al2023"
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
        let parsed = Runtime::parse(text).map_err(|error| format!("{} {error}", error.status));
        match (parsed, expect) {
            (Err(error), Err(begin)) => assert!(error.starts_with(begin), "{error}"),
            (parsed, expect) => assert_eq!(parsed, expect.map_err(str::to_owned)),
        }
    }

    #[test]
    fn runtimes_run_or_are_refused_by_name() {
        check("python3.8", Ok(Runtime::Python { minor: 8 }));
        check("python3.15", Ok(Runtime::Python { minor: 15 }));
        check("provided.al2023", Ok(Runtime::Provided));
        for other in ["nodejs22.x", "python2.7", "python3.7", "go1.x", "java21"] {
            let refusal = format!(
                "501 NotImplemented: Scones does not implement the runtime {other}; it runs python3.8 to python3.15, \
                 provided, provided.al2 and provided.al2023"
            );
            check(other, Err(&refusal));
        }
        for unknown in ["python3.08", "python3.16", "python3", "Python3.12", ""] {
            let refusal = format!(
                "400 InvalidParameterValueException: Value {unknown} at 'runtime' failed to satisfy constraint: Member \
                 must satisfy enum value set: [nodejs, "
            );
            check(unknown, Err(&refusal));
        }
    }
}
