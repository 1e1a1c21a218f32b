//! A channel's objects into a folder.

use std::{
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use futures::{TryStreamExt as _, stream};
use scones_vision::dataset::manifest;
use serde_json::Value;

use super::{
    directory::JobDirectory,
    record::{Channel, DataType, S3DataSource},
};
use crate::{
    external::{ObjectStore, ObjectSummary},
    location::Location,
    vision::error_chain,
};

/// Objects of one listing.
const LISTING_PAGE: usize = 1000;
/// Objects that are downloaded at a time.
const DOWNLOADS_AT_ONCE: usize = 8;
/// Bytes in the unit of `VolumeSizeInGB`.
const GIGABYTE: u64 = 1_000_000_000;

/// Downloads the channels of a job.
pub(crate) struct Downloader<'a> {
    pub objects: &'a dyn ObjectStore,
    pub directory: &'a JobDirectory,
    /// Bytes that the job's volume still holds.
    pub space: u64,
}

/// Why a channel's data is not there.
enum Problem {
    /// It could not be fetched.
    Fetch(String),
    /// What was fetched does not say what else to fetch.
    Content(String),
}

impl<T: Into<String>> From<T> for Problem {
    fn from(problem: T) -> Self {
        Self::Fetch(problem.into())
    }
}

/// An object and the file that it becomes.
struct Wanted {
    bucket: String,
    object: ObjectSummary,
    file: PathBuf,
}

impl Downloader<'_> {
    /// Downloads the data of a channel into its folder and gives the number of objects.
    ///
    /// # Errors
    /// A failure reason that names the object or what is missing.
    pub async fn channel(&mut self, channel: &Channel) -> Result<usize, String> {
        let Some(source) = &channel.data_source.s3_data_source else {
            return Ok(0);
        };
        let name = &channel.channel_name;
        let downloaded = self.data(name, source).await;
        downloaded.map_err(|problem| match problem {
            Problem::Fetch(problem) => format!("ClientError: Data download failed: channel {name}: {problem}"),
            Problem::Content(problem) => format!("ClientError: channel {name}: {problem}"),
        })
    }

    async fn data(&mut self, name: &str, source: &S3DataSource) -> Result<usize, Problem> {
        let place = Location::parse(&source.s3_uri).map_err(|error| error.message)?;
        let folder = self.directory.channel(name);
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|error| format!("its folder could not be made: {error}"))?;
        match source.data_type() {
            Some(DataType::ManifestFile) => self.listed(name, &place, &folder).await,
            Some(DataType::AugmentedManifestFile) => self.augmented(name, &place, source, &folder).await,
            Some(DataType::S3Prefix) | None => Ok(self.prefix(&place, &folder).await?),
        }
    }

    /// All objects under a prefix.
    async fn prefix(&mut self, place: &Location, folder: &Path) -> Result<usize, String> {
        let mut after: Option<String> = None;
        let mut count = 0;
        loop {
            let listed = self
                .objects
                .list(&place.bucket, &place.key, after.as_deref(), LISTING_PAGE)
                .await;
            let page = listed.map_err(|error| error.to_string())?;
            let last = page.len() < LISTING_PAGE;
            after = page.last().map(|object| object.key.clone());
            let wanted: Result<Vec<_>, String> = page
                .into_iter()
                // Consoles make folders by empty objects whose names end in a slash.
                .filter(|object| !object.key.ends_with('/') || object.size > 0)
                .map(|object| {
                    let file = folder.join(plain_path(&place.key, &object.key)?);
                    let bucket = place.bucket.clone();
                    Ok(Wanted { bucket, object, file })
                })
                .collect();
            count += self.fetch(wanted?).await?;
            if last {
                break;
            }
        }
        if count == 0 {
            return Err(format!("no objects under {place}"));
        }
        Ok(count)
    }

    /// The objects that a manifest lists: a JSON array of a prefix and what follows it.
    ///
    /// <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html>
    async fn listed(&mut self, name: &str, place: &Location, folder: &Path) -> Result<usize, Problem> {
        let file = self.manifest(name, place).await?;
        let read = tokio::task::spawn_blocking(move || read_manifest(&file)).await;
        let (prefix, suffixes) = read
            .map_err(|error| error.to_string())?
            .map_err(|problem| Problem::Content(format!("the manifest {place} {problem}")))?;
        let prefix = Location::parse(&prefix)
            .map_err(|error| Problem::Content(format!("the manifest {place}: {}", error.message)))?;
        let mut wanted = Vec::with_capacity(suffixes.len());
        for suffix in suffixes {
            let object = Location {
                bucket: prefix.bucket.clone(),
                key: format!("{}{suffix}", prefix.key),
            };
            let file = folder.join(plain_path(&prefix.key, &object.key)?);
            wanted.push(self.want(&object, file).await?);
        }
        Ok(self.fetch(wanted).await?)
    }

    /// The images that an augmented manifest names, each under the name of its line.
    async fn augmented(
        &mut self,
        name: &str,
        place: &Location,
        source: &S3DataSource,
        folder: &Path,
    ) -> Result<usize, Problem> {
        let file = self.manifest(name, place).await?;
        let attributes = source
            .attributes()
            .ok_or("AttributeNames must name the image's attribute and the label's")?;
        let read = tokio::task::spawn_blocking({
            let file = file.clone();
            move || manifest::read_entries(&file, &attributes)
        });
        let entries = read.await.map_err(|error| error.to_string())?.map_err(|error| {
            Problem::Content(error_chain(&error).replace(&*file.to_string_lossy(), &place.to_string()))
        })?;
        let mut wanted = Vec::with_capacity(entries.len());
        for entry in entries {
            let at_line = |problem: String| format!("{place} line {}: {problem}", entry.line);
            let object = Location::parse(&entry.source).map_err(|error| Problem::Content(at_line(error.message)))?;
            let file = manifest::image_path(folder, &entry);
            wanted.push(self.want(&object, file).await.map_err(at_line)?);
        }
        Ok(self.fetch(wanted).await?)
    }

    /// Downloads the manifest of a channel.
    async fn manifest(&mut self, name: &str, place: &Location) -> Result<PathBuf, String> {
        let file = self.directory.manifest(name);
        let wanted = self.want(place, file.clone()).await?;
        self.fetch(vec![wanted]).await?;
        Ok(file)
    }

    async fn want(&self, place: &Location, file: PathBuf) -> Result<Wanted, String> {
        let listed = self.objects.list(&place.bucket, &place.key, None, 1).await;
        let found = listed.map_err(|error| error.to_string())?.into_iter().next();
        let object = found.filter(|object| object.key == place.key && !object.key.is_empty());
        Ok(Wanted {
            bucket: place.bucket.clone(),
            object: object.ok_or_else(|| format!("there is no object {place}"))?,
            file,
        })
    }

    async fn fetch(&mut self, wanted: Vec<Wanted>) -> Result<usize, String> {
        let bytes: u64 = wanted.iter().map(|wanted| wanted.object.size).sum();
        self.space = self
            .space
            .checked_sub(bytes)
            .ok_or("it does not fit on the volume of the job; increase VolumeSizeInGB in the resource configuration")?;
        let (count, objects) = (wanted.len(), self.objects);
        stream::iter(wanted.into_iter().map(Ok))
            .try_for_each_concurrent(DOWNLOADS_AT_ONCE, |wanted| async move {
                let key = &wanted.object.key;
                if let Some(parent) = wanted.file.parent() {
                    let made = tokio::fs::create_dir_all(parent).await;
                    made.map_err(|error| format!("{key}: {error}"))?;
                }
                let downloaded = objects.download(&wanted.bucket, key, &wanted.file).await;
                downloaded.map_err(|error| format!("{key}: {error}"))
            })
            .await?;
        Ok(count)
    }
}

/// The prefix and the suffixes that a manifest lists.
fn read_manifest(file: &Path) -> Result<(String, Vec<String>), String> {
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
    let read = opened.take(manifest::MANIFEST_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > manifest::MANIFEST_BYTES_MAX {
        return Err(format!(
            "has more than {} bytes: divide it",
            manifest::MANIFEST_BYTES_MAX
        ));
    }
    let form = "is no JSON array of an object with \"prefix\" and the names that follow it";
    let members: Vec<Value> = serde_json::from_slice(&text).map_err(|error| format!("{form}: {error}"))?;
    let mut members = members.into_iter();
    let prefix = members
        .next()
        .and_then(|first| Some(first.get("prefix")?.as_str()?.to_owned()));
    let names: Option<Vec<String>> = members.map(|name| Some(name.as_str()?.to_owned())).collect();
    match (prefix, names) {
        (Some(prefix), Some(names)) if !names.is_empty() => Ok((prefix, names)),
        _ => Err(form.to_owned()),
    }
}

/// How much a job's volume holds.
pub(crate) fn volume_bytes(gigabytes: Option<i64>) -> u64 {
    gigabytes
        .and_then(|size| u64::try_from(size).ok())
        .map_or(u64::MAX, |size| size.saturating_mul(GIGABYTE))
}

fn plain_path(prefix: &str, key: &str) -> Result<PathBuf, String> {
    let path = relative_path(prefix, key);
    path.ok_or_else(|| format!("the key \"{key}\" is not a plain relative path; rename the object"))
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
