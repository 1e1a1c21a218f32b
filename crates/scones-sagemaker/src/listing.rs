//! What every `List*` operation does: filter, sort, page.

use std::cmp::Ordering;

use scones_api::{ApiError, Constraints, PageToken, Timestamp, page_limit};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};

use crate::limits;

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "Ascending",
            Self::Descending => "Descending",
        }
    }
}

/// What one listing has of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    /// Tokens of another operation are refused.
    pub operation: &'static str,
    /// The member of the answer that holds the entries.
    pub member: &'static str,
    /// The first is the default.
    pub sort_keys: &'static [&'static str],
    pub default_order: Direction,
}

/// What a listing is asked for. Kinds without a status or a time of change have no such filters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    name_contains: Option<String>,
    pub status_equals: Option<String>,
    creation_time_after: Option<Timestamp>,
    creation_time_before: Option<Timestamp>,
    last_modified_time_after: Option<Timestamp>,
    last_modified_time_before: Option<Timestamp>,
}

/// A page of entries, under the name that the operation gives them.
#[derive(Debug)]
pub(crate) struct ListOutput<T> {
    member: &'static str,
    entries: Vec<T>,
    /// Absent on the last page.
    next_token: Option<String>,
}

impl<T> ListOutput<T> {
    pub fn map<U>(self, change: fn(T) -> U) -> ListOutput<U> {
        ListOutput {
            member: self.member,
            entries: self.entries.into_iter().map(change).collect(),
            next_token: self.next_token,
        }
    }
}

impl<T: Serialize> Serialize for ListOutput<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_map(None)?;
        answer.serialize_entry(self.member, &self.entries)?;
        if let Some(token) = &self.next_token {
            answer.serialize_entry("NextToken", token)?;
        }
        answer.end()
    }
}

/// What sorting and filtering see of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub name: &'a str,
    pub created: Timestamp,
    /// Status and time of the last change, of kinds that have them.
    pub state: Option<(&'static str, Timestamp)>,
}

impl ListInput {
    fn admits(&self, facts: &Facts<'_>) -> bool {
        // AWS compares names without regard to case.
        let contains = |part: &String| facts.name.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
        self.name_contains.as_ref().is_none_or(contains)
            && self.creation_time_after.is_none_or(|time| facts.created >= time)
            && self.creation_time_before.is_none_or(|time| facts.created <= time)
            && facts.state.as_ref().is_none_or(|(status, modified)| {
                self.status_equals.as_ref().is_none_or(|wish| wish == status)
                    && self.last_modified_time_after.is_none_or(|time| *modified >= time)
                    && self.last_modified_time_before.is_none_or(|time| *modified <= time)
            })
    }
}

/// An entry's place in the order; also what a token carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Position {
    millis: i64,
    text: String,
    name: String,
}

impl Position {
    fn of(facts: &Facts<'_>, sort_by: &str) -> Self {
        let status = facts.state.map_or("", |(status, _)| status);
        let (millis, text) = match sort_by {
            "Name" => (0, String::new()),
            "Status" => (0, status.to_owned()),
            _ => (facts.created.as_millis(), String::new()),
        };
        Self {
            millis,
            text,
            name: facts.name.to_owned(),
        }
    }

    fn compare(&self, other: &Self, direction: Direction) -> Ordering {
        match direction {
            Direction::Ascending => self.cmp(other),
            Direction::Descending => other.cmp(self),
        }
    }
}

/// The page of `entries` that is asked for.
pub(crate) fn page<T>(
    entries: Vec<T>,
    listing: &Listing,
    input: &ListInput,
    facts: fn(&T) -> Facts<'_>,
) -> Result<ListOutput<T>, ApiError> {
    let mut constraints = Constraints::new();
    if let Some(sort_by) = &input.sort_by {
        constraints.one_of("sortBy", sort_by, listing.sort_keys);
    }
    if let Some(order) = &input.sort_order {
        constraints.one_of("sortOrder", order, &["Ascending", "Descending"]);
    }
    if let Some(wish) = input.max_results {
        let maximum = i64::try_from(limits::PAGE_MAX).unwrap_or(i64::MAX);
        constraints.range("maxResults", wish, 1, maximum);
    }
    constraints.check()?;
    let default = listing.sort_keys.first().copied();
    let sort_by = input.sort_by.as_deref().or(default).unwrap_or("CreationTime");
    let direction = match input.sort_order.as_deref() {
        Some("Ascending") => Direction::Ascending,
        Some(_) => Direction::Descending,
        None => listing.default_order,
    };
    let scope = format!("{}/{sort_by}/{}", listing.operation, direction.as_str());
    let after: Option<Position> = match input.next_token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => {
            let position = PageToken::decode(&scope, token);
            Some(position.ok_or_else(|| ApiError::validation("Invalid pagination token: NextToken"))?)
        }
        None => None,
    };
    let mut placed: Vec<(Position, T)> = entries
        .into_iter()
        .filter_map(|entry| {
            let facts = facts(&entry);
            let position = Position::of(&facts, sort_by);
            let beyond = |after: &Position| position.compare(after, direction) == Ordering::Greater;
            (input.admits(&facts) && after.as_ref().is_none_or(beyond)).then_some((position, entry))
        })
        .collect();
    placed.sort_by(|(one, _), (other, _)| one.compare(other, direction));
    let limit = page_limit(input.max_results, limits::PAGE_DEFAULT, limits::PAGE_MAX);
    let more = placed.len() > limit;
    placed.truncate(limit);
    let next_token = match placed.last() {
        Some((position, _)) if more => Some(PageToken::encode(&scope, position)?),
        _ => None,
    };
    Ok(ListOutput {
        member: listing.member,
        entries: placed.into_iter().map(|(_, entry)| entry).collect(),
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing = Listing {
        operation: "ListX",
        member: "Xs",
        sort_keys: &["CreationTime", "Name"],
        default_order: Direction::Descending,
    };

    fn facts<'a>((name, millis): &'a (&str, i64)) -> Facts<'a> {
        Facts {
            name,
            created: Timestamp::from_millis(*millis),
            state: None,
        }
    }

    fn query(order: Option<&str>, token: Option<&str>) -> Result<(String, Option<String>), ApiError> {
        let input = ListInput {
            sort_order: order.map(str::to_owned),
            next_token: token.map(str::to_owned),
            max_results: Some(3),
            ..ListInput::default()
        };
        let page = page(vec![("b", 1), ("a", 2), ("C", 2), ("d", 0)], &LISTING, &input, facts)?;
        Ok((
            page.entries.into_iter().map(|(name, _)| name).collect(),
            page.next_token,
        ))
    }

    #[test]
    fn pages_follow_each_other() {
        let (first, token) = query(None, None).unwrap();
        assert_eq!(first, "aCb");
        assert_eq!(query(None, token.as_deref()).unwrap(), ("d".to_owned(), None));
        assert_eq!(query(Some("Ascending"), None).unwrap().0, "dbC");
    }

    #[test]
    fn wrong_wishes_are_refused() {
        let (_, token) = query(None, None).unwrap();
        for (order, token) in [
            (Some("Upwards"), None),
            (None, Some("x")),
            (Some("Ascending"), token.as_deref()),
        ] {
            assert_eq!(query(order, token).unwrap_err().code, "ValidationException");
        }
    }
}
