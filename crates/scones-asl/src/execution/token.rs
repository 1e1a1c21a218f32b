//! Task tokens: they say themselves which task of which execution they are for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::effect::TaskId;

/// What a task token says.
///
/// The secret comes from the execution's seed; a driver compares a whole token
/// with the one of the call before it believes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskToken {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The task.
    pub task: TaskId,
    /// 128 random bits, in hexadecimal.
    pub secret: String,
}

impl TaskToken {
    /// The token's text.
    #[must_use]
    pub fn encode(&self) -> String {
        STANDARD.encode(format!("{}\n{}\n{}", self.execution_arn, self.task.0, self.secret))
    }

    /// Reads a token's text; nothing where it cannot be one.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let mut parts = text.split('\n');
        let token = Self {
            execution_arn: parts.next()?.to_owned(),
            task: TaskId(parts.next()?.parse().ok()?),
            secret: parts.next()?.to_owned(),
        };
        parts.next().is_none().then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_out_and_back() {
        let token = TaskToken {
            execution_arn: "arn".into(),
            task: TaskId(7),
            secret: "ab".into(),
        };
        assert_eq!(TaskToken::decode(&token.encode()), Some(token));
        for text in ["", "x", "not base64!", "YXJu"] {
            assert_eq!(TaskToken::decode(text), None, "{text}");
        }
    }
}
