//! Patterns of terms: `word`, `"a phrase"`, `?either ?or`, `-neither`.

/// Terms that a message must, may or must not hold. Case matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    required: Vec<String>,
    /// One of them suffices. AWS ignores them beside terms of other kinds.
    optional: Vec<String>,
    excluded: Vec<String>,
}

impl Terms {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Self::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let kind = match first {
                '?' => &mut terms.optional,
                '-' => &mut terms.excluded,
                _ => &mut terms.required,
            };
            if matches!(first, '?' | '-') {
                rest = &rest[1..];
            }
            let (term, behind) = match rest.strip_prefix('"') {
                Some(quoted) => phrase(quoted)?,
                None => {
                    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            if term.is_empty() {
                return Err(format!("`{first}` stands before nothing"));
            }
            kind.push(term);
            rest = behind.trim_start();
        }
        Ok(terms)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let holds = |term: &String| message.contains(term.as_str());
        if self.excluded.iter().any(holds) {
            return false;
        }
        if self.required.is_empty() && self.excluded.is_empty() && !self.optional.is_empty() {
            return self.optional.iter().any(holds);
        }
        self.required.iter().all(holds)
    }
}

/// The text up to the closing quotation mark, and what follows it. A
/// backslash takes the next character as it is.
pub(super) fn phrase(quoted: &str) -> Result<(String, &str), String> {
    let mut phrase = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((phrase, &quoted[index + 1..])),
            '\\' => phrase.extend(characters.next().map(|(_, character)| character)),
            other => phrase.push(other),
        }
    }
    Err("a quotation mark is not closed".to_owned())
}
