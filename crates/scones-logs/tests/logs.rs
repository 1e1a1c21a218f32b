//! The service through its JSON interface and in process.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::{sync::Arc, time::Duration};

use scones_api::{Caller, JsonService as _, ManualClock, Owner, RequestContext, Timestamp};
use scones_logs::{LogEvent, Logs};
use scones_store::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;

const NOW: i64 = 1_700_000_000_000;

struct Server {
    directory: TempDir,
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    logs: Arc<Logs>,
}

impl Server {
    async fn start() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(directory: TempDir) -> Self {
        let store = SqliteStore::open(directory.path()).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let logs = Logs::start(store.clone(), Owner::default(), clock.clone())
            .await
            .unwrap();
        Self {
            directory,
            store,
            clock,
            logs,
        }
    }

    async fn restart(self) -> Self {
        self.store.close().await;
        Self::open(self.directory).await
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let context = RequestContext {
            caller: Arc::new(Caller {
                access_key_id: "k".to_owned(),
                arn: "arn:aws:iam::000000000000:root".parse().unwrap(),
            }),
            request_id: "r".to_owned(),
        };
        let answer = self.logs.call(operation, input.to_string().as_bytes(), &context).await;
        let body = answer.map_err(|error| error.to_string())?;
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        })
    }

    /// A group and a stream.
    async fn create(&self, group: &str, stream: &str) {
        let _ = self.call("CreateLogGroup", json!({"logGroupName": group})).await;
        let input = json!({"logGroupName": group, "logStreamName": stream});
        self.call("CreateLogStream", input).await.unwrap();
    }

    async fn put(&self, group: &str, stream: &str, events: &[(i64, &str)]) -> Result<Value, String> {
        let event = |(timestamp, message): &(i64, &str)| json!({"timestamp": NOW + timestamp, "message": message});
        let events: Vec<_> = events.iter().map(event).collect();
        self.call(
            "PutLogEvents",
            json!({"logGroupName": group, "logStreamName": stream, "logEvents": events}),
        )
        .await
    }

    /// One page of `g`/`s`: its messages and both tokens.
    async fn get(&self, mut input: Value) -> (Vec<String>, String, String) {
        input["logGroupName"] = json!("g");
        input["logStreamName"] = json!("s");
        let page = self.call("GetLogEvents", input).await.unwrap();
        let token = |name: &str| page[name].as_str().unwrap().to_owned();
        (messages(&page), token("nextForwardToken"), token("nextBackwardToken"))
    }

    async fn filter(&self, mut input: Value) -> Vec<String> {
        input["logGroupName"] = json!("g");
        let mut found = Vec::new();
        loop {
            let page = self.call("FilterLogEvents", input.clone()).await.unwrap();
            found.extend(messages(&page));
            match page.get("nextToken") {
                Some(token) => input["nextToken"] = token.clone(),
                None => return found,
            }
        }
    }
}

fn messages(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap().iter();
    events
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect()
}

fn names(page: &Value, list: &str, name: &str) -> Vec<String> {
    let members = page[list].as_array().unwrap().iter();
    members
        .map(|member| member[name].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn errors_are_worded_as_aws_words_them() {
    let server = Server::start().await;
    server.create("g", "s").await;
    for (operation, input, expect) in [
        (
            "CreateLogGroup",
            json!({"logGroupName": "g"}),
            "ResourceAlreadyExistsException: The specified log group already exists",
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": "g", "logStreamName": "s"}),
            "ResourceAlreadyExistsException: The specified log stream already exists",
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": "none", "logStreamName": "s"}),
            "ResourceNotFoundException: The specified log group does not exist.",
        ),
        (
            "DescribeLogStreams",
            json!({"logGroupName": "none"}),
            "ResourceNotFoundException: The specified log group does not exist.",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "g", "logStreamName": "none"}),
            "ResourceNotFoundException: The specified log stream does not exist.",
        ),
        (
            "DeleteLogGroup",
            json!({"logGroupName": "none"}),
            "ResourceNotFoundException: The specified log group does not exist.",
        ),
        (
            "DescribeLogStreams",
            json!({"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "s"}),
            "InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix.",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "g", "logStreamName": "s", "nextToken": "x"}),
            "InvalidParameterException: The specified nextToken is invalid.",
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": "g", "logStreamName": "a:b"}),
            "InvalidParameterException: 1 validation error detected: Value 'a:b' at 'logStreamName' failed to \
             satisfy constraint: Member must satisfy regular expression pattern: [^:*]*",
        ),
    ] {
        assert_eq!(server.call(operation, input).await.unwrap_err(), expect);
    }
}

#[tokio::test]
async fn groups_are_described_in_pages() {
    let server = Server::start().await;
    for name in ["/a/1", "/a/2", "/b/1"] {
        server
            .call("CreateLogGroup", json!({"logGroupName": name, "tags": {"k": "v"}}))
            .await
            .unwrap();
    }
    let page = server.call("DescribeLogGroups", json!({"limit": 2})).await.unwrap();
    assert_eq!(names(&page, "logGroups", "logGroupName"), ["/a/1", "/a/2"]);
    let input = json!({"limit": 2, "nextToken": page["nextToken"]});
    let page = server.call("DescribeLogGroups", input).await.unwrap();
    assert_eq!(names(&page, "logGroups", "logGroupName"), ["/b/1"]);
    assert_eq!(page.get("nextToken"), None);
    for (filter, expect) in [
        (json!({"logGroupNamePrefix": "/a"}), vec!["/a/1", "/a/2"]),
        (json!({"logGroupNamePattern": "/1"}), vec!["/a/1", "/b/1"]),
        (json!({"limit": 2, "logGroupNamePrefix": "/a"}), vec!["/a/1", "/a/2"]),
    ] {
        let page = server.call("DescribeLogGroups", filter).await.unwrap();
        assert_eq!(names(&page, "logGroups", "logGroupName"), expect);
        assert_eq!(page.get("nextToken"), None);
    }
    let retention = json!({"logGroupName": "/b/1", "retentionInDays": 7});
    server.call("PutRetentionPolicy", retention).await.unwrap();
    let page = server
        .call("DescribeLogGroups", json!({"logGroupNamePrefix": "/b"}))
        .await
        .unwrap();
    assert_eq!(
        page["logGroups"][0],
        json!({
            "logGroupName": "/b/1", "creationTime": NOW, "retentionInDays": 7, "metricFilterCount": 0,
            "arn": "arn:aws:logs:us-east-1:000000000000:log-group:/b/1:*",
            "logGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:/b/1",
            "storedBytes": 0, "logGroupClass": "STANDARD",
        })
    );
    let arn = json!({"resourceArn": page["logGroups"][0]["logGroupArn"]});
    assert_eq!(
        server.call("ListTagsForResource", arn).await.unwrap(),
        json!({"tags": {"k": "v"}})
    );
}

#[tokio::test]
async fn streams_are_described_by_name_and_by_time() {
    let server = Server::start().await;
    for (name, timestamp) in [("b", 3), ("a/2", 1), ("c", 2), ("a/1", 4)] {
        server.create("g", name).await;
        server.put("g", name, &[(timestamp, "x")]).await.unwrap();
    }
    for (input, expect) in [
        (json!({}), vec!["a/1", "a/2", "b", "c"]),
        (json!({"descending": true}), vec!["c", "b", "a/2", "a/1"]),
        (json!({"logStreamNamePrefix": "a/"}), vec!["a/1", "a/2"]),
        (json!({"orderBy": "LastEventTime"}), vec!["a/2", "c", "b", "a/1"]),
        (
            json!({"orderBy": "LastEventTime", "descending": true}),
            vec!["a/1", "b", "c", "a/2"],
        ),
    ] {
        for limit in [1, 2, 3, 4, 50] {
            let mut input = input.clone();
            input["logGroupName"] = json!("g");
            input["limit"] = json!(limit);
            let mut found = Vec::new();
            loop {
                let page = server.call("DescribeLogStreams", input.clone()).await.unwrap();
                found.extend(names(&page, "logStreams", "logStreamName"));
                match page.get("nextToken") {
                    Some(token) => input["nextToken"] = token.clone(),
                    None => break,
                }
            }
            assert_eq!(found, expect, "{input}");
        }
    }
}

#[tokio::test]
async fn events_are_read_forward_and_backward() {
    let server = Server::start().await;
    server.create("g", "s").await;
    assert_eq!(server.get(json!({})).await.0, [""; 0]);
    let all: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    for (number, message) in (0..).zip(&all) {
        server.put("g", "s", &[(number / 3, message)]).await.unwrap();
    }
    let server = server.restart().await;
    assert_eq!(server.get(json!({})).await.0, all);

    let mut token = Value::Null;
    let mut found = Vec::new();
    loop {
        let (page, forward, _) = server
            .get(json!({"startFromHead": true, "limit": 7, "nextToken": token}))
            .await;
        if page.is_empty() {
            assert_eq!(token, json!(forward), "the token at the end stays the same");
            break;
        }
        found.extend(page);
        token = json!(forward);
    }
    assert_eq!(found, all);
    server.put("g", "s", &[(100, "later")]).await.unwrap();
    assert_eq!(server.get(json!({"nextToken": token})).await.0, ["later"]);

    let (page, _, mut backward) = server.get(json!({"limit": 1})).await;
    assert_eq!(page, ["later"]);
    let mut found = Vec::new();
    loop {
        let (mut page, _, next) = server.get(json!({"limit": 70, "nextToken": backward})).await;
        if page.is_empty() {
            assert_eq!(backward, next, "the token at the beginning stays the same");
            break;
        }
        page.append(&mut found);
        found = page;
        backward = next;
    }
    assert_eq!(found, all);

    let range = json!({"startTime": NOW + 2, "endTime": NOW + 4, "startFromHead": true});
    assert_eq!(server.get(range).await.0, all[6..12]);
}

#[tokio::test]
async fn a_stream_is_followed_from_its_empty_beginning() {
    let server = Server::start().await;
    server.create("g", "s").await;
    let (_, token, _) = server.get(json!({"startFromHead": true})).await;
    server.put("g", "s", &[(-5, "a"), (0, "b")]).await.unwrap();
    let (page, token, _) = server.get(json!({"startFromHead": true, "nextToken": token})).await;
    assert_eq!(page, ["a", "b"]);
    server.put("g", "s", &[(0, "c")]).await.unwrap();
    assert_eq!(
        server.get(json!({"startFromHead": true, "nextToken": token})).await.0,
        ["c"]
    );
}

#[tokio::test]
async fn late_events_are_sorted_in() {
    let server = Server::start().await;
    server.create("g", "s").await;
    server.put("g", "s", &[(10, "d"), (20, "f")]).await.unwrap();
    server.put("g", "s", &[(0, "a"), (10, "e")]).await.unwrap();
    assert_eq!(server.get(json!({})).await.0, ["a", "d", "e", "f"]);
    server.put("g", "s", &[(1, "b"), (2, "c"), (30, "g")]).await.unwrap();
    let server = server.restart().await;
    assert_eq!(server.get(json!({})).await.0, ["a", "b", "c", "d", "e", "f", "g"]);
    assert_eq!(server.get(json!({"limit": 2})).await.0, ["f", "g"]);
    let range = json!({"startTime": NOW + 1, "endTime": NOW + 20, "startFromHead": true});
    assert_eq!(server.get(range).await.0, ["b", "c", "d", "e"]);
    assert_eq!(
        server.filter(json!({"limit": 2})).await,
        ["a", "b", "c", "d", "e", "f", "g"]
    );
}

#[tokio::test]
async fn a_batch_keeps_the_rules() {
    let server = Server::start().await;
    server.create("g", "s").await;
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    let error = server.put("g", "s", &[(2, "a"), (1, "b")]).await.unwrap_err();
    assert!(error.contains("must be in chronological order"), "{error}");
    let error = server.put("g", "s", &[(-DAY, "a"), (1, "b")]).await.unwrap_err();
    assert!(error.contains("cannot span more than 24 hours"), "{error}");
    let error = server
        .put("g", "s", &[(0, &"x".repeat(1_048_576 - 25))])
        .await
        .unwrap_err();
    assert!(
        error.contains("Upload too large: 1048577 bytes exceeds limit of 1048576"),
        "{error}"
    );
    let error = server.put("g", "s", &vec![(0, "x"); 10_001]).await.unwrap_err();
    assert!(
        error.starts_with("InvalidParameterException: 1 validation error"),
        "{error}"
    );
    assert!(server.put("g", "s", &[]).await.is_err());
    assert!(server.put("g", "s", &[(0, "")]).await.is_err());
    assert_eq!(server.get(json!({})).await.0, [""; 0]);

    let retention = json!({"logGroupName": "g", "retentionInDays": 3});
    server.call("PutRetentionPolicy", retention).await.unwrap();
    let events = [
        (-15 * DAY, "old"),
        (-4 * DAY, "expired"),
        (0, "now"),
        (2 * HOUR + 1, "new"),
    ];
    let answer = server.put("g", "s", &events).await.unwrap();
    assert_eq!(
        answer["rejectedLogEventsInfo"],
        json!({"tooNewLogEventStartIndex": 3, "tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2})
    );
    assert_eq!(answer["nextSequenceToken"].as_str().unwrap().len(), 56);
    assert_eq!(server.get(json!({})).await.0, ["now"]);
    server.clock.advance(Duration::from_secs(3 * 24 * 3600 + 1));
    assert_eq!(server.get(json!({})).await.0, [""; 0]);
    assert_eq!(server.filter(json!({})).await, [""; 0]);
}

#[tokio::test]
async fn a_page_holds_a_megabyte_at_most() {
    let server = Server::start().await;
    server.create("g", "s").await;
    for number in 0..5 {
        let message = format!("{number}{}", "x".repeat(400_000));
        server.put("g", "s", &[(number, &message)]).await.unwrap();
    }
    let (page, ..) = server.get(json!({"startFromHead": true})).await;
    assert_eq!(page.iter().map(|message| &message[..1]).collect::<Vec<_>>(), ["0", "1"]);
    let (page, ..) = server.get(json!({})).await;
    assert_eq!(page.iter().map(|message| &message[..1]).collect::<Vec<_>>(), ["3", "4"]);
    assert_eq!(server.filter(json!({})).await.len(), 5);
}

#[tokio::test]
async fn streams_are_filtered_together() {
    let server = Server::start().await;
    for name in ["x/1", "x/2", "y"] {
        server.create("g", name).await;
    }
    server
        .put("g", "x/1", &[(1, "a ERROR"), (4, "d"), (5, "e1")])
        .await
        .unwrap();
    server.put("g", "x/2", &[(2, "b"), (5, "e2 ERROR")]).await.unwrap();
    server.put("g", "y", &[(3, "c ERROR"), (5, "e3")]).await.unwrap();
    let all = ["a ERROR", "b", "c ERROR", "d", "e1", "e2 ERROR", "e3"];
    for limit in 1..8 {
        assert_eq!(server.filter(json!({"limit": limit})).await, all, "{limit}");
        let found = server.filter(json!({"limit": limit, "filterPattern": "ERROR"})).await;
        assert_eq!(found, ["a ERROR", "c ERROR", "e2 ERROR"]);
    }
    for (input, expect) in [
        (
            json!({"logStreamNamePrefix": "x/"}),
            vec!["a ERROR", "b", "d", "e1", "e2 ERROR"],
        ),
        (json!({"logStreamNames": ["y"]}), vec!["c ERROR", "e3"]),
        (json!({"startTime": NOW + 3, "endTime": NOW + 4}), vec!["c ERROR", "d"]),
        (json!({"filterPattern": "-ERROR"}), vec!["b", "d", "e1", "e3"]),
    ] {
        assert_eq!(server.filter(input).await, expect);
    }
    let input = json!({"logGroupName": "g", "logStreamNames": ["none"]});
    let error = server.call("FilterLogEvents", input).await.unwrap_err();
    assert_eq!(
        error,
        "ResourceNotFoundException: The specified log stream does not exist."
    );
}

#[tokio::test]
async fn what_is_deleted_does_not_come_back_with_the_name() {
    let server = Server::start().await;
    server.create("g", "s").await;
    server.put("g", "s", &[(0, "old")]).await.unwrap();
    let stream = json!({"logGroupName": "g", "logStreamName": "s"});
    server.call("DeleteLogStream", stream.clone()).await.unwrap();
    assert!(server.call("GetLogEvents", stream).await.is_err());
    server.create("g", "s").await;
    assert_eq!(server.get(json!({})).await.0, [""; 0]);
    server.put("g", "s", &[(0, "older")]).await.unwrap();
    server
        .call("DeleteLogGroup", json!({"logGroupName": "g"}))
        .await
        .unwrap();
    let server = server.restart().await;
    let groups = server.call("DescribeLogGroups", json!({})).await.unwrap();
    assert_eq!(groups, json!({"logGroups": []}));
    server.create("g", "s").await;
    assert_eq!(server.get(json!({})).await.0, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_stream_lose_nothing() {
    let server = Server::start().await;
    let appends = (0..16).map(|number| {
        let logs = Arc::clone(&server.logs);
        tokio::spawn(async move {
            let event = |line| LogEvent {
                timestamp: NOW - number,
                message: format!("{number} {line}"),
            };
            logs.append("g", "s", (0..10).map(event).collect()).await.unwrap();
        })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap();
    }
    let found = server.get(json!({})).await.0;
    assert_eq!(found.len(), 160);
    assert!(
        found
            .chunks(10)
            .all(|batch| batch[0].ends_with(" 0") && batch[9].ends_with(" 9"))
    );
}

#[tokio::test]
async fn two_services_on_one_store_see_each_others_events() {
    let one = Server::start().await;
    let logs = Logs::start(one.store.clone(), Owner::default(), one.clock.clone())
        .await
        .unwrap();
    one.create("g", "s").await;
    let event = |message: &str| LogEvent {
        timestamp: NOW,
        message: message.to_owned(),
    };
    one.logs.append("g", "s", vec![event("a")]).await.unwrap();
    logs.append("g", "s", vec![event("b")]).await.unwrap();
    one.logs.append("g", "s", vec![event("c")]).await.unwrap();
    logs.append("g", "s", vec![event("d")]).await.unwrap();
    assert_eq!(one.get(json!({})).await.0, ["a", "b", "c", "d"]);
}
