//! What every `List*` operation does: filter, sort, page.

use std::cmp::Ordering;

use scones_api::{ApiError, Constraints, PageToken, Timestamp, page_limit};
use serde::{Deserialize, Serialize};

use crate::limits;

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// What a listing asks for besides the filters of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// The operation: tokens of another one are refused.
    pub operation: &'static str,
    pub sort_by: Option<&'a str>,
    /// The sort keys that the operation has; the first is the default.
    pub sort_keys: &'static [&'static str],
    pub sort_order: Option<&'a str>,
    pub default_order: Direction,
    pub next_token: Option<&'a str>,
    pub max_results: Option<i64>,
}

/// What sorting and filtering see of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub name: String,
    pub status: String,
    pub created: Timestamp,
    pub modified: Timestamp,
}

/// The filters that the listings share.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Filter<'a> {
    pub name_contains: Option<&'a str>,
    pub status_equals: Option<&'a str>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub modified_after: Option<Timestamp>,
    pub modified_before: Option<Timestamp>,
}

impl Filter<'_> {
    fn admits(&self, facts: &Facts) -> bool {
        // AWS compares names without regard to case.
        let contains = |part: &str| facts.name.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
        self.name_contains.is_none_or(contains)
            && self.status_equals.is_none_or(|status| facts.status == status)
            && self.created_after.is_none_or(|time| facts.created >= time)
            && self.created_before.is_none_or(|time| facts.created <= time)
            && self.modified_after.is_none_or(|time| facts.modified >= time)
            && self.modified_before.is_none_or(|time| facts.modified <= time)
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
    fn of(facts: &Facts, sort_by: &str) -> Self {
        let (millis, text) = match sort_by {
            "Name" => (0, String::new()),
            "Status" => (0, facts.status.clone()),
            "LastModifiedTime" => (facts.modified.as_millis(), String::new()),
            _ => (facts.created.as_millis(), String::new()),
        };
        Self {
            millis,
            text,
            name: facts.name.clone(),
        }
    }

    fn compare(&self, other: &Self, direction: Direction) -> Ordering {
        match direction {
            Direction::Ascending => self.cmp(other),
            Direction::Descending => other.cmp(self),
        }
    }
}

/// One page of `entries` and the token of the next one, absent on the last page.
pub(crate) fn page<T>(
    entries: Vec<T>,
    query: &Query<'_>,
    filter: &Filter<'_>,
    facts: impl Fn(&T) -> Facts,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let mut constraints = Constraints::new();
    if let Some(sort_by) = query.sort_by {
        constraints.one_of("sortBy", sort_by, query.sort_keys);
    }
    if let Some(order) = query.sort_order {
        constraints.one_of("sortOrder", order, &["Ascending", "Descending"]);
    }
    if let Some(wish) = query.max_results {
        constraints.range(
            "maxResults",
            wish,
            1,
            i64::try_from(limits::PAGE_MAX).unwrap_or(i64::MAX),
        );
    }
    constraints.check()?;
    let sort_by = query
        .sort_by
        .or(query.sort_keys.first().copied())
        .unwrap_or("CreationTime");
    let direction = match query.sort_order {
        Some("Ascending") => Direction::Ascending,
        Some(_) => Direction::Descending,
        None => query.default_order,
    };
    let scope = format!("{}/{sort_by}/{direction:?}", query.operation);
    let after: Option<Position> = match query.next_token.filter(|token| !token.is_empty()) {
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
            (filter.admits(&facts) && after.as_ref().is_none_or(beyond)).then_some((position, entry))
        })
        .collect();
    placed.sort_by(|(one, _), (other, _)| one.compare(other, direction));
    let limit = page_limit(query.max_results, limits::PAGE_DEFAULT, limits::PAGE_MAX);
    let more = placed.len() > limit;
    placed.truncate(limit);
    let token = match placed.last() {
        Some((position, _)) if more => Some(PageToken::encode(&scope, position)?),
        _ => None,
    };
    Ok((placed.into_iter().map(|(_, entry)| entry).collect(), token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(order: Option<&'static str>, token: Option<&str>) -> Result<(String, Option<String>), ApiError> {
        let entries = vec![("b", 1), ("a", 2), ("C", 2), ("d", 0)];
        let query = Query {
            operation: "ListX",
            sort_by: None,
            sort_keys: &["CreationTime", "Name"],
            sort_order: order,
            default_order: Direction::Descending,
            next_token: token,
            max_results: Some(3),
        };
        let facts = |&(name, millis): &(&str, i64)| Facts {
            name: name.to_owned(),
            status: String::new(),
            created: Timestamp::from_millis(millis),
            modified: Timestamp::from_millis(millis),
        };
        let (page, token) = page(entries, &query, &Filter::default(), facts)?;
        Ok((page.into_iter().map(|(name, _)| name).collect(), token))
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
