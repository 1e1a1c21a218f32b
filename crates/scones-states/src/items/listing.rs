//! The objects below a prefix, as `s3:listObjectsV2` lists them.

use std::{sync::Arc, vec};

use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use scones_asl::event::Failure;
use serde_json::{Value, json};

use super::{Location, Locations, Values, failed};
use crate::{
    limits::LISTED_OBJECTS_MAX,
    objects::{ObjectStore, ObjectSummary},
};

/// The objects of a listing, with their bucket.
pub(super) type Listed = BoxStream<'static, Result<(String, ObjectSummary), Failure>>;

/// All objects whose keys begin with the prefix, in the order of their keys.
pub(super) fn objects(objects: &Arc<dyn ObjectStore>, prefix: Location) -> Listed {
    let listing = Listing {
        objects: Arc::clone(objects),
        prefix,
        page: Vec::new().into_iter(),
        after: Some(String::new()),
    };
    stream::try_unfold(listing, async |mut listing| {
        let object = listing.next().await?;
        Ok(object.map(|object| ((listing.prefix.bucket.clone(), object), listing)))
    })
    .boxed()
}

struct Listing {
    objects: Arc<dyn ObjectStore>,
    prefix: Location,
    page: vec::IntoIter<ObjectSummary>,
    /// The last key of the page; none when there is no other page.
    after: Option<String>,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<ObjectSummary>, Failure> {
        if let Some(object) = self.page.next() {
            return Ok(Some(object));
        }
        let Some(after) = self.after.take() else {
            return Ok(None);
        };
        let Location { bucket, key } = &self.prefix;
        let after = Some(after.as_str()).filter(|after| !after.is_empty());
        let listed = self.objects.list(bucket, key, after, LISTED_OBJECTS_MAX).await;
        let page = listed.map_err(|error| failed(self.prefix.refused(&error)))?;
        if page.len() == LISTED_OBJECTS_MAX {
            self.after = page.last().map(|object| object.key.clone());
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

/// The objects themselves as items, as AWS writes them.
pub(super) fn described(listed: Listed) -> Values {
    listed
        .map_ok(|(_, object)| -> Value {
            json!({
                "Etag": object.etag,
                "Key": object.key,
                "LastModified": object.last_modified.as_millis() / 1_000,
                "Size": object.size,
                "StorageClass": "STANDARD",
            })
        })
        .boxed()
}

/// Where the objects lie, without those that only stand for a folder.
pub(super) fn locations(listed: Listed) -> Locations {
    listed
        .try_filter_map(async |(bucket, object)| {
            let folder = object.size == 0 && object.key.ends_with('/');
            Ok((!folder).then_some(Location {
                bucket,
                key: object.key,
            }))
        })
        .boxed()
}
