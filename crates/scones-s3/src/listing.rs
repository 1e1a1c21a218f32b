//! Listings: objects in the byte order of their keys, with keys that share a
//! beginning up to a delimiter rolled up into one common prefix.

use scones_api::ApiError;
use scones_store::ListQuery;

use crate::{
    ObjectSummary, S3,
    limits::{KEY_BYTES_MAX, PAGE_SIZE_MAX},
    records::{ObjectRecord, object_key},
};

/// Which part of a bucket to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    /// Keys are rolled up to the first one after the prefix; empty for none.
    pub(crate) delimiter: String,
    /// Only entries after this name.
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Object(String, Box<ObjectRecord>),
    Prefix(String),
}

impl Entry {
    /// The key or the common prefix.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is more.
    pub(crate) truncated: bool,
}

impl Listing {
    /// The common prefix that `key` is rolled up into.
    fn rolled_up<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = rest.find(&self.delimiter)? + self.delimiter.len();
        Some(&key[..self.prefix.len() + end])
    }

    /// Where to go on after the entry `name`: behind all that it stands for.
    fn behind(&self, name: &str) -> String {
        match self.rolled_up(name) {
            Some(common) => past_prefix(common),
            None => name.to_owned(),
        }
    }
}

/// A text beyond every key that begins with `prefix` and before every other
/// key beyond it: filled up with the last character as far as a key can go.
fn past_prefix(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + KEY_BYTES_MAX);
    text.push_str(prefix);
    text.extend(std::iter::repeat_n(char::MAX, KEY_BYTES_MAX / char::MAX.len_utf8()));
    text
}

impl S3 {
    /// Up to `limit` objects (at most 1000) whose keys begin with `prefix` and
    /// come after `after`, in the byte order of their keys.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        let listing = Listing {
            prefix: prefix.to_owned(),
            after: after.unwrap_or_default().to_owned(),
            limit,
            ..Listing::default()
        };
        let page = self.list(bucket, &listing).await?;
        let summaries = page.entries.into_iter().filter_map(|entry| match entry {
            Entry::Object(key, record) => Some(ObjectSummary {
                key,
                size: record.size,
                etag: record.etag,
                last_modified: record.modified,
            }),
            Entry::Prefix(_) => None,
        });
        Ok(summaries.collect())
    }

    /// A page of a listing. Reads about as many records as it gives entries: a
    /// common prefix is jumped over, however many keys it stands for.
    pub(crate) async fn list(&self, bucket: &str, listing: &Listing) -> Result<Page, ApiError> {
        /// Records read at first and after each jump; doubled without one.
        const BATCH: usize = 16;
        self.bucket(bucket).await?;
        let limit = listing.limit.min(PAGE_SIZE_MAX);
        let mut page = Page::default();
        if limit == 0 {
            return Ok(page);
        }
        let mut after = listing.behind(&listing.after);
        let mut batch = if listing.delimiter.is_empty() { limit + 1 } else { BATCH };
        loop {
            let query = ListQuery {
                prefix: object_key(bucket, &listing.prefix),
                after: Some(object_key(bucket, &after)),
                limit: batch,
                descending: false,
            };
            let records = self.objects.list(query).await?;
            let last = records.len() < batch;
            batch = (batch * 2).min(PAGE_SIZE_MAX + 1);
            for (name, record) in records {
                let key = &name[bucket.len() + 1..];
                if key <= after.as_str() {
                    continue;
                }
                if page.entries.len() == limit {
                    page.truncated = true;
                    return Ok(page);
                }
                let entry = match listing.rolled_up(key) {
                    Some(common) => {
                        batch = BATCH;
                        Entry::Prefix(common.to_owned())
                    }
                    None => Entry::Object(key.to_owned(), Box::new(record)),
                };
                after = listing.behind(entry.name());
                page.entries.push(entry);
            }
            if last {
                return Ok(page);
            }
        }
    }
}
