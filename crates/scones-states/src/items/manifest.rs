//! Manifests: objects that name the objects with the items.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use scones_asl::event::Failure;
use serde::Deserialize;

use super::{Location, Locations, Source, lines::Lines};
use crate::{limits::MANIFEST_BYTES_MAX, objects::ObjectStore};

/// The data manifest of an Athena query: a URI on each line.
pub(super) async fn athena(objects: &Arc<dyn ObjectStore>, manifest: Location) -> Result<Locations, Failure> {
    let lines = Lines::of(Source::open(objects, manifest).await?);
    let locations = stream::try_unfold(lines, async |mut lines| {
        let Some(line) = lines.next().await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&line).unwrap_or_default().trim();
        let uri = text.trim_matches('"');
        let location = Location::of_uri(uri).ok_or_else(|| lines.wrong("is not s3://BUCKET/KEY"))?;
        Ok(Some((location, lines)))
    });
    Ok(locations.boxed())
}

/// `manifest.json` of an inventory (S3 User Guide, "Inventory list").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    key: String,
}

/// The lists of an S3 inventory, which are CSV, and the names of their columns.
pub(super) async fn inventory(
    objects: &Arc<dyn ObjectStore>,
    manifest: Location,
) -> Result<(Locations, Vec<String>), Failure> {
    let mut source = Source::open(objects, manifest).await?;
    let mut text = Vec::new();
    while let Some(piece) = source.next().await? {
        text.extend_from_slice(&piece);
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(source.wrong(format_args!("has more than {MANIFEST_BYTES_MAX} bytes")));
        }
    }
    let wrong = |error| source.wrong(format_args!("is not the manifest of an S3 inventory: {error}"));
    let inventory: Inventory = serde_json::from_slice(&text).map_err(wrong)?;
    if inventory.file_format != "CSV" {
        let problem = format!(
            "lists files of the format {}: only CSV is supported",
            inventory.file_format
        );
        return Err(source.wrong(problem));
    }
    // An ARN: arn:aws:s3:::BUCKET.
    let bucket = inventory
        .destination_bucket
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    let locations = inventory.files.into_iter().map(move |file| {
        Ok(Location {
            bucket: bucket.clone(),
            key: file.key,
        })
    });
    let headers = inventory
        .file_schema
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    Ok((stream::iter(locations).boxed(), headers))
}
