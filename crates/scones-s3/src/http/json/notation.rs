//! Reads the notation of `operations.txt`, which says what it means.

use http::Method;

const OPERATIONS: &str = include_str!("operations.txt");

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) method: Method,
    pub(super) path: Path,
    /// What the query begins with, if anything.
    pub(super) subresource: &'static str,
    pub(super) input: Vec<Member>,
    pub(super) output: Vec<Member>,
}

/// What a request's path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Service,
    Bucket,
    Object,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) kind: Kind,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
    Date,
    Map,
    Path,
    Body,
    List(Box<Kind>),
    Structure(Vec<Member>),
}

/// Where HTTP has a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Header(&'static str),
    Parameter(&'static str),
    Element(&'static str),
}

/// What every operation on a bucket that there is already takes.
const EXPECTED_BUCKET_OWNER: Member = Member {
    name: "ExpectedBucketOwner",
    required: false,
    kind: Kind::Text,
    place: Place::Header("x-amz-expected-bucket-owner"),
};

/// The operations' names, in the order of the table.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let names = entries().filter_map(|entry| Reader { rest: entry }.next());
    names.filter(|name| !name.starts_with('@'))
}

/// The operation that AWS calls so.
pub(super) fn find(name: &str) -> Option<Operation> {
    let mut reader = Reader { rest: entry(name)? };
    let name = reader.next()?;
    let method = reader.next()?.parse().ok()?;
    let path = match reader.next()? {
        "service" => Path::Service,
        "bucket" => Path::Bucket,
        "object" => Path::Object,
        _ => return None,
    };
    let subresource = match reader.peek().and_then(|token| token.strip_prefix('?')) {
        Some(subresource) => reader.next().map(|_| subresource)?,
        None => "",
    };
    let mut input = match reader.skips("<") {
        true => reader.members()?,
        false => Vec::new(),
    };
    if path != Path::Service && name != "CreateBucket" {
        input.push(EXPECTED_BUCKET_OWNER);
    }
    let output = match reader.skips(">") {
        true => reader.members()?,
        false => Vec::new(),
    };
    reader.peek().is_none().then_some(Operation {
        name,
        method,
        path,
        subresource,
        input,
        output,
    })
}

fn entry(name: &str) -> Option<&'static str> {
    entries().find(|entry| entry.split_ascii_whitespace().next() == Some(name))
}

/// An entry begins a line and goes on in lines that are indented.
fn entries() -> impl Iterator<Item = &'static str> {
    let mut rest = OPERATIONS;
    std::iter::from_fn(move || {
        let goes_on = |at: &usize| !rest[at + 1..].starts_with(' ');
        let end = rest.match_indices('\n').map(|(at, _)| at).find(goes_on)?;
        let (entry, after) = rest.split_at(end + 1);
        rest = after;
        Some(entry)
    })
    .filter(|entry| entry.starts_with(|first: char| first == '@' || first.is_ascii_uppercase()))
}

const MARKS: [char; 7] = ['<', '>', '{', '}', '[', ']', '!'];

struct Reader {
    rest: &'static str,
}

impl Reader {
    /// The next mark or word, if there is one.
    fn peek(&self) -> Option<&'static str> {
        let between = |character: char| character.is_whitespace() || character == ',';
        let rest = self.rest.trim_start_matches(between);
        let ends = |character| between(character) || MARKS.contains(&character);
        let end = match rest.starts_with(MARKS) {
            true => 1,
            false => rest.find(ends).unwrap_or(rest.len()),
        };
        Some(&rest[..end]).filter(|token| !token.is_empty())
    }

    fn next(&mut self) -> Option<&'static str> {
        let token = self.peek()?;
        let at = self.rest.find(token)?;
        self.rest = &self.rest[at + token.len()..];
        Some(token)
    }

    fn skips(&mut self, token: &str) -> bool {
        self.peek() == Some(token) && self.next().is_some()
    }

    /// Members up to a mark that ends them.
    fn members(&mut self) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        while let Some(token) = self.peek().filter(|token| !token.starts_with(MARKS)) {
            self.next();
            if token.starts_with('@') {
                let mut included = Reader { rest: entry(token)? };
                included.next();
                members.extend(included.members()?);
            } else {
                members.push(self.member(token)?);
            }
        }
        Some(members)
    }

    fn member(&mut self, name: &'static str) -> Option<Member> {
        let required = self.skips("!");
        let kind = self.kind()?;
        let token = self.peek().unwrap_or_default();
        let place = match token.chars().next() {
            Some(':') => Place::Header(&token[1..]),
            Some('?') => Place::Parameter(&token[1..]),
            Some('=') => Place::Element(&token[1..]),
            _ => Place::Element(name),
        };
        if token.starts_with([':', '?', '=']) {
            self.next();
        }
        Some(Member {
            name,
            required,
            kind,
            place,
        })
    }

    fn kind(&mut self) -> Option<Kind> {
        if self.skips("[") {
            let kind = Box::new(self.kind()?);
            return self.skips("]").then_some(Kind::List(kind));
        }
        if self.skips("{") {
            let members = self.members()?;
            return self.skips("}").then_some(Kind::Structure(members));
        }
        let kind = match self.peek() {
            Some("number") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some("date") => Kind::Date,
            Some("map") => Kind::Map,
            Some("path") => Kind::Path,
            Some("body") => Kind::Body,
            _ => return Some(Kind::Text),
        };
        self.next();
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let unreadable: Vec<_> = names().filter(|name| find(name).is_none()).collect();
        assert!(unreadable.is_empty(), "{unreadable:?}");
        assert_eq!(names().count(), 49);
    }

    #[test]
    fn members_are_read() {
        let check = |text: &'static str, expect: &str| {
            let members = Reader { rest: text }.members().unwrap();
            assert_eq!(format!("{members:?}"), format!("[{expect}]"), "{text}");
        };
        let member = |name: &str, required: bool, kind: &str, place: &str| {
            format!("Member {{ name: {name:?}, required: {required}, kind: {kind}, place: {place} }}")
        };
        let text = |name: &str| member(name, false, "Text", &format!("Element({name:?})"));
        check("", "");
        check("A, B", &[text("A"), text("B")].join(", "));
        check("A! :a-b", &member("A", true, "Text", "Header(\"a-b\")"));
        check("A number ?a", &member("A", false, "Number", "Parameter(\"a\")"));
        check("A [] =B/C", &member("A", false, "List(Text)", "Element(\"B/C\")"));
        let inner = format!("List(Structure([{}]))", text("B"));
        check("A [{B}]", &member("A", false, &inner, "Element(\"A\")"));
    }
}
