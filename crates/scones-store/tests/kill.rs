//! What was acknowledged survives `kill -9`, and nothing is half there.
//!
//! The test runs itself as a child that writes and prints what was
//! acknowledged, and kills it in the middle.

#![expect(clippy::print_stdout, reason = "the child tells its parent what was acknowledged")]
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bytes::Bytes;
use scones_api::Timestamp;
use scones_store::{
    BlobId, Blobs as _, Expected, Histories as _, Queues as _, Records as _, SqliteStore, Timer, Timers as _,
};
use tokio::io::AsyncReadExt as _;

const DIRECTORY: &str = "SCONES_TEST_KILL_DIRECTORY";
const TASKS: u64 = 4;
const ENTRIES_PER_APPEND: u64 = 3;
const LARGE_BLOB_BYTES: usize = 100_000;
const EPOCH: Timestamp = Timestamp::from_millis(0);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return write_until_killed(PathBuf::from(directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for lines in [1, 40, 41, 160, 333] {
        acknowledged.extend(run_and_kill(directory.path(), lines));
        check(directory.path(), &acknowledged).await;
    }
}

/// The kind and name of what was acknowledged, and its value.
type Acknowledged = BTreeMap<(String, String), String>;

fn run_and_kill(directory: &Path, lines: usize) -> Acknowledged {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["what_was_acknowledged_survives_a_kill", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Acknowledged::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // A last line without its end may lack a part; the kill cut it.
        let line = line.unwrap();
        if let ["acknowledged", kind, name, value, "."] = line.split(' ').collect::<Vec<_>>()[..] {
            acknowledged.insert((kind.to_owned(), name.to_owned()), value.to_owned());
        }
        if acknowledged.len() == lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(acknowledged.len() >= lines);
    acknowledged
}

async fn check(directory: &Path, acknowledged: &Acknowledged) {
    let store = SqliteStore::open(directory).unwrap();
    let timers = store.due_timers("timers", EPOCH, usize::MAX).await.unwrap();
    let timers: Vec<_> = timers.into_iter().map(|timer| timer.key).collect();
    let messages = store
        .receive("queue", usize::MAX, EPOCH, std::time::Duration::ZERO)
        .await
        .unwrap();
    let messages: Vec<_> = messages.into_iter().map(|message| message.payload).collect();
    for ((kind, name), value) in acknowledged {
        let there = match kind.as_str() {
            "history" => store.length(name).await.unwrap() >= value.parse().unwrap(),
            "record" => store
                .get("table", name)
                .await
                .unwrap()
                .is_some_and(|record| record.value == *value),
            "timer" => timers.contains(name),
            "message" => messages.contains(&Bytes::from(name.clone())),
            "blob" => read_blob(&store, &BlobId(name.clone())).await == value.parse::<usize>().unwrap(),
            other => panic!("{other}"),
        };
        assert!(there, "{kind} {name} {value}");
    }
    for task in 0..TASKS {
        let length = store.length(&format!("history-{task}")).await.unwrap();
        assert_eq!(length % ENTRIES_PER_APPEND, 0, "an append is there in part");
    }
    for id in store.list_blobs("test", None, usize::MAX).await.unwrap() {
        let length = read_blob(&store, &id).await;
        assert!([5, LARGE_BLOB_BYTES].contains(&length), "{length}");
    }
    let files = |folder: &str| std::fs::read_dir(directory.join(folder)).unwrap().count();
    assert_eq!(files("staging"), 0);
    store.close().await;
}

async fn read_blob(store: &SqliteStore, id: &BlobId) -> usize {
    let mut bytes = Vec::new();
    let mut reader = store.open_blob(id, 0..u64::MAX).await.unwrap();
    reader.read_to_end(&mut bytes).await.unwrap()
}

async fn write_until_killed(directory: PathBuf) {
    let store = SqliteStore::open(&directory).unwrap();
    let forever = async |task| {
        loop {
            write_one_of_each(&store, task).await;
        }
    };
    futures::future::join_all((0..TASKS).map(forever)).await;
}

async fn write_one_of_each(store: &SqliteStore, task: u64) {
    let history = format!("history-{task}");
    let position = store.length(&history).await.unwrap();
    let entries = vec![Bytes::from_static(b"entry"); ENTRIES_PER_APPEND as usize];
    let length = store.append(&history, position, entries).await.unwrap();
    println!("acknowledged history {history} {length} .");

    let name = format!("{task}-{length}");
    let value = Bytes::from(length.to_string());
    store.put("table", &name, value, Expected::Absent).await.unwrap();
    println!("acknowledged record {name} {length} .");

    let timer = Timer {
        key: name.clone(),
        due: EPOCH,
        payload: Bytes::new(),
    };
    store.set_timer("timers", timer).await.unwrap();
    println!("acknowledged timer {name} - .");

    store
        .send("queue", Bytes::from(name.clone()), EPOCH, EPOCH)
        .await
        .unwrap();
    println!("acknowledged message {name} - .");

    for size in [5, LARGE_BLOB_BYTES] {
        let mut blob = store.create_blob("test").await.unwrap();
        blob.write(Bytes::from(vec![1; size])).await.unwrap();
        let id = blob.finish().await.unwrap();
        println!("acknowledged blob {id} {size} .");
    }
}
