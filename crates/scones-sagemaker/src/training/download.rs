//! A channel's objects into a folder.

use std::path::{Component, Path, PathBuf};

use futures::{TryStreamExt as _, stream};

use crate::{
    external::{ObjectStore, ObjectSummary},
    location::Location,
};

/// Objects of one listing.
const LISTING_PAGE: usize = 1000;
/// Objects that are downloaded at a time.
const DOWNLOADS_AT_ONCE: usize = 8;
/// Bytes in the unit of `VolumeSizeInGB`.
const GIGABYTE: u64 = 1_000_000_000;

/// Downloads everything under `source` into `folder`. `space` is what the job's volume still
/// holds, and shrinks.
///
/// # Errors
/// A failure reason that names the object or what is missing.
pub(crate) async fn channel(
    objects: &dyn ObjectStore,
    name: &str,
    source: &Location,
    folder: &Path,
    space: &mut u64,
) -> Result<usize, String> {
    std::fs::create_dir_all(folder).map_err(|error| internal(name, &error))?;
    let mut after: Option<String> = None;
    let mut count = 0;
    loop {
        let listed = objects
            .list(&source.bucket, &source.key, after.as_deref(), LISTING_PAGE)
            .await;
        let page = listed.map_err(|error| format!("ClientError: Data download failed: channel {name}: {error}"))?;
        let last = page.len() < LISTING_PAGE;
        after = page.last().map(|object| object.key.clone());
        count += one_page(objects, name, source, folder, space, page).await?;
        if last {
            break;
        }
    }
    if count == 0 {
        return Err(format!(
            "ClientError: Data download failed: channel {name}: no objects under {source}"
        ));
    }
    Ok(count)
}

async fn one_page(
    objects: &dyn ObjectStore,
    name: &str,
    source: &Location,
    folder: &Path,
    space: &mut u64,
    page: Vec<ObjectSummary>,
) -> Result<usize, String> {
    let mut wanted = Vec::new();
    for object in page {
        // Consoles make folders by empty objects whose names end in a slash.
        if object.key.ends_with('/') && object.size == 0 {
            continue;
        }
        let Some(remaining) = space.checked_sub(object.size) else {
            return Err(format!(
                "ClientError: Data download failed: channel {name} does not fit on the volume of the job; increase \
                 VolumeSizeInGB in the resource configuration"
            ));
        };
        *space = remaining;
        let Some(relative) = relative_path(&source.key, &object.key) else {
            let key = &object.key;
            return Err(format!(
                "ClientError: Data download failed: channel {name}: the key \"{key}\" is not a plain relative path; \
                 rename the object"
            ));
        };
        wanted.push((folder.join(relative), object.key));
    }
    let count = wanted.len();
    stream::iter(wanted.into_iter().map(Ok))
        .try_for_each_concurrent(DOWNLOADS_AT_ONCE, |(path, key)| async move {
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent)
                    .await
                    .map_err(|error| format!("ClientError: Data download failed: channel {name}: {key}: {error}"))?;
            }
            let downloaded = objects.download(&source.bucket, &key, &path).await;
            downloaded.map_err(|error| format!("ClientError: Data download failed: channel {name}: {key}: {error}"))
        })
        .await?;
    Ok(count)
}

fn internal(name: &str, error: &std::io::Error) -> String {
    format!("InternalServerError: the folder of channel {name} could not be made: {error}")
}

/// How much a job's volume holds.
pub(crate) fn volume_bytes(gigabytes: Option<i64>) -> u64 {
    gigabytes
        .and_then(|size| u64::try_from(size).ok())
        .map_or(u64::MAX, |size| size.saturating_mul(GIGABYTE))
}

/// Where the object `key` goes in the channel of `prefix`: what follows the prefix when the
/// prefix is a folder, the last part of the key when it is the object itself, and what follows
/// the prefix's folder when the prefix ends in the middle of a name.
fn relative_path(prefix: &str, key: &str) -> Option<PathBuf> {
    let rest = key.strip_prefix(prefix)?;
    let relative = if prefix.is_empty() || prefix.ends_with('/') || rest.starts_with('/') {
        rest.trim_start_matches('/')
    } else {
        let folder = prefix.rfind('/').map_or(0, |at| at + 1);
        &key[folder..]
    };
    let path = Path::new(relative);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let unusual = relative.is_empty() || relative.contains(['\0', '\\']) || relative.contains("//");
    (plain && !unusual && !relative.ends_with('/')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(prefix: &str, key: &str, expect: &str) {
        let shown = relative_path(prefix, key).map_or("refused".to_owned(), |path| path.display().to_string());
        assert_eq!(shown, expect, "{prefix} {key}");
    }

    #[test]
    fn keys_become_paths() {
        check("train", "train/a.png", "a.png");
        check("train/", "train/a/b.png", "a/b.png");
        check("", "a.png", "a.png");
        check("data/train", "data/train.lst", "train.lst");
        check("train.lst", "train.lst", "train.lst");
        check("data/train.lst", "data/train.lst", "train.lst");
        check("train", "train/../../etc/passwd", "refused");
        check("train/", "train//etc/passwd", "etc/passwd");
        check("train", "train/", "refused");
        check("train", "train/a//b", "refused");
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_folder(prefix in "[a-z./]{0,6}", rest in "[a-z./\\\\]{0,12}") {
            if let Some(path) = relative_path(&prefix, &format!("{prefix}{rest}")) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(path.components().count() > 0);
            }
        }
    }

    #[test]
    fn a_volume_without_a_size_holds_everything() {
        assert_eq!(volume_bytes(None), u64::MAX);
        assert_eq!(volume_bytes(Some(2)), 2_000_000_000);
    }
}
