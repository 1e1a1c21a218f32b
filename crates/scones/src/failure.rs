//! Errors as a person reads them: what failed, why, and what to do.

use std::fmt;

use crate::terminal;

/// A hint that travels with an error and is printed apart from it.
#[derive(Debug)]
struct Hint(String);

impl fmt::Display for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Adds a hint to a failed result.
pub(crate) trait WithHint<T> {
    /// Says what to do about the error.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint.into())))
    }
}

/// The error with its causes and its hint, ready to print.
pub(crate) fn text(error: &anyhow::Error) -> String {
    // `anyhow` makes a hint a link of the chain like any other.
    let hint = error.downcast_ref::<Hint>().map(Hint::to_string);
    let causes = error.chain().map(ToString::to_string);
    let causes = causes.filter(|cause| hint.as_ref() != Some(cause));
    let mut text = String::new();
    for (depth, cause) in causes.enumerate() {
        text += if depth == 0 { "error: " } else { "  because: " };
        text += &cause;
        text.push('\n');
    }
    if let Some(hint) = hint {
        text += &format!("hint: {hint}\n");
    }
    text
}

/// Prints the error on stderr.
pub(crate) fn print(error: &anyhow::Error) {
    terminal::say(text(error).trim_end());
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn an_error_is_printed_with_its_causes_and_its_hint() {
        let error = Err::<(), _>(anyhow!("the port is taken"))
            .context("cannot listen on 127.0.0.1:1")
            .hint("choose another with --listen")
            .unwrap_err();
        insta::assert_snapshot!(text(&error), @r"
        error: cannot listen on 127.0.0.1:1
          because: the port is taken
        hint: choose another with --listen
        ");
        insta::assert_snapshot!(text(&anyhow!("plain")), @"error: plain");
    }
}
