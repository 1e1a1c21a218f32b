use std::{ops::Range, path::Path};

use bytes::Bytes;
use scones_store::{BlobId, Blobs, Error};
use tokio::io::AsyncReadExt as _;

use super::Backend;

const SIZES: [usize; 6] = [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, 5_000_001];

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

async fn write(store: &impl Blobs, body: &[u8]) -> BlobId {
    let mut writer = store.create_blob("test").await.unwrap();
    for chunk in body.chunks(10_000) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn read(store: &impl Blobs, id: &BlobId, range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store
        .open_blob(id, range)
        .await
        .unwrap()
        .read_to_end(&mut bytes)
        .await
        .unwrap();
    bytes
}

async fn is_missing(store: &impl Blobs, id: &BlobId) -> bool {
    matches!(store.open_blob(id, 0..1).await, Err(Error::NoSuchBlob(missing)) if missing == id.0)
}

pub async fn blobs_of_every_size_are_read_back(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let mut ids = Vec::new();
    for size in SIZES {
        ids.push(write(&*store, &body(size)).await);
    }
    backend.close(store).await;
    let store = backend.open(directory).await;
    for (id, size) in ids.iter().zip(SIZES) {
        assert!(read(&*store, id, 0..u64::MAX).await == body(size), "{size}");
    }
}

pub async fn blobs_are_read_in_ranges(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    for size in [1000, 100_000] {
        let body = body(size);
        let id = write(&*store, &body).await;
        let end = size as u64;
        for (range, expect) in [
            (0..1, &body[..1]),
            (10..20, &body[10..20]),
            (end - 1..end + 5, &body[size - 1..]),
            (end..end + 1, &[]),
            (u64::MAX - 1..u64::MAX, &[]),
            (7..7, &[]),
            (Range { start: 7, end: 3 }, &[]),
        ] {
            assert_eq!(read(&*store, &id, range.clone()).await, expect, "{range:?} of {size}");
        }
    }
}

pub async fn an_unfinished_blob_leaves_nothing(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let before = files(directory);
    let mut small = store.create_blob("test").await.unwrap();
    let mut large = store.create_blob("test").await.unwrap();
    small.write(Bytes::from_static(b"small")).await.unwrap();
    large.write(body(1 << 20).into()).await.unwrap();
    drop((small, large));
    assert_eq!(files(directory), before);
    assert_eq!(store.list_blobs("test", None, 9).await.unwrap(), []);
}

pub async fn a_deleted_blob_is_read_to_the_end(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    for size in SIZES {
        let before = files(directory);
        let id = write(&*store, &body(size)).await;
        let mut reader = store.open_blob(&id, 0..u64::MAX).await.unwrap();
        store.delete_blob(&id).await.unwrap();
        store.delete_blob(&id).await.unwrap();
        assert!(is_missing(&*store, &id).await);
        assert_eq!(files(directory), before);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes == body(size), "{size}");
    }
    for odd in ["", "../scones.db", "/etc/passwd", "no such blob"] {
        store.delete_blob(&BlobId(odd.to_owned())).await.unwrap();
        assert!(is_missing(&*store, &BlobId(odd.to_owned())).await);
    }
}

pub async fn blobs_are_listed_in_pages(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let mut ids = Vec::new();
    for size in SIZES {
        ids.push(write(&*store, &body(size)).await);
    }
    ids.sort();
    assert_eq!(store.list_blobs("test", None, 4).await.unwrap(), ids[..4]);
    assert_eq!(store.list_blobs("tes", None, 4).await.unwrap(), []);
    assert_eq!(store.list_blobs("test", Some(&ids[3]), 4).await.unwrap(), ids[4..]);
}

pub async fn a_closed_store_says_so(backend: &impl Backend, directory: &Path) {
    use scones_store::{Expected, Records as _};
    let store = backend.open(directory).await;
    let blob = write(&*store, b"x").await;
    backend.close(std::sync::Arc::clone(&store)).await;
    let put = store.put("t", "k", Bytes::new(), Expected::Anything).await;
    assert!(matches!(put, Err(Error::Closed)));
    assert!(matches!(store.get("t", "k").await, Err(Error::Closed)));
    assert!(matches!(store.open_blob(&blob, 0..1).await, Err(Error::Closed)));
    backend.close(store).await;
}

/// The files that lie below `directory`.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
