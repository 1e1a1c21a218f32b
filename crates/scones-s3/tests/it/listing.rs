//! Listings against a model.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::Method;
use proptest::{collection, prelude::*};

use crate::support::Harness;

/// What S3 lists: names after `after`, keys and common prefixes together.
fn model(keys: &BTreeSet<String>, prefix: &str, delimiter: &str, after: &str) -> Vec<(String, bool)> {
    let mut names = BTreeMap::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(end) => names.insert(key[..prefix.len() + end + delimiter.len()].to_owned(), true),
            None => names.insert(key.clone(), false),
        };
    }
    names.into_iter().filter(|(name, _)| name.as_str() > after).collect()
}

/// Keys that collide in prefixes, with characters at both ends of the order.
fn key() -> impl Strategy<Value = String> {
    collection::vec(
        prop::sample::select(vec!["a", "b", "/", "//", "é", "\u{10ffff}", "+"]),
        1..5,
    )
    .prop_map(|parts| parts.concat())
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), key()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn pages_put_together_are_the_model(
        keys in collection::btree_set(key(), 0..40),
        queries in collection::vec(
            (part(), prop::sample::select(vec!["", "/", "a", "//"]), part(), 1_usize..9),
            8,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let harness = Harness::with_bucket().await;
            harness.create_bucket("bucket2").await;
            harness.s3.put_object("bucket2", "other", None, Bytes::new()).await.unwrap();
            for key in &keys {
                harness.s3.put_object("bucket", key, None, Bytes::new()).await.unwrap();
            }
            for (prefix, delimiter, after, size) in queries {
                let listed = list(&harness, &prefix, delimiter, &after, size).await;
                assert_eq!(
                    listed,
                    model(&keys, &prefix, delimiter, &after),
                    "prefix {prefix:?}, delimiter {delimiter:?}, after {after:?}, pages of {size}"
                );
            }
        });
    }
}

/// Lists through HTTP, page by page.
async fn list(harness: &Harness, prefix: &str, delimiter: &str, after: &str, size: usize) -> Vec<(String, bool)> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut names = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let token_part = token
            .as_deref()
            .map(|token| format!("continuation-token={}&", encode(token)));
        let target = format!(
            "/bucket?{}delimiter={}&encoding-type=url&list-type=2&max-keys={size}&prefix={}&start-after={}",
            token_part.unwrap_or_default(),
            encode(delimiter),
            encode(prefix),
            encode(after),
        );
        // The signature is over the names in order and the values encoded once.
        let target = target
            .replace("%2D", "-")
            .replace("%5F", "_")
            .replace("%2E", ".")
            .replace("%7E", "~");
        let answer = harness.call(Method::GET, &target, &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let page: Vec<_> = elements(&text, "Contents", "Key")
            .map(|name| (name, false))
            .chain(elements(&text, "CommonPrefixes", "Prefix").map(|name| (name, true)))
            .collect();
        assert!(page.len() <= size);
        names.extend(page);
        token = answer.element("NextContinuationToken");
        assert_eq!(answer.element("IsTruncated").unwrap(), token.is_some().to_string());
        if token.is_none() {
            // Within a page, objects stand before prefixes.
            names.sort();
            return names;
        }
    }
}

fn elements<'a>(text: &'a str, outer: &str, inner: &str) -> impl Iterator<Item = String> + 'a {
    let (outer, open, close) = (format!("<{outer}>"), format!("<{inner}>"), format!("</{inner}>"));
    text.split(&outer)
        .skip(1)
        .map(|entry| {
            let name = entry.split(&open).nth(1).unwrap().split(&close).next().unwrap();
            percent_encoding::percent_decode_str(name)
                .decode_utf8()
                .unwrap()
                .into_owned()
        })
        .collect::<Vec<_>>()
        .into_iter()
}

#[tokio::test]
async fn the_in_process_listing_goes_on_after_a_key() {
    let harness = Harness::with_bucket().await;
    for key in ["a/1", "a/2", "b"] {
        harness
            .s3
            .put_object("bucket", key, None, Bytes::from("x"))
            .await
            .unwrap();
    }
    let check = async |prefix: &str, after: Option<&str>, limit: usize, expect: &[&str]| {
        let page = harness.s3.list_objects("bucket", prefix, after, limit).await.unwrap();
        let keys: Vec<_> = page.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(keys, expect);
    };
    check("", None, 10, &["a/1", "a/2", "b"]).await;
    check("a/", None, 1, &["a/1"]).await;
    check("a/", Some("a/1"), 10, &["a/2"]).await;
    check("", Some("a/2"), 10, &["b"]).await;
    check("", None, 0, &[]).await;
    check("c", None, 10, &[]).await;
    let missing = harness.s3.list_objects("none", "", None, 1).await;
    assert_eq!(missing.unwrap_err().code, "NoSuchBucket");
}
