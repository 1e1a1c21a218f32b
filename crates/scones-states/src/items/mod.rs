//! The items of a distributed map: from its input, or from objects in S3.
//!
//! Items are read one after another, while the map runs: a dataset is never
//! in memory as a whole, and what is hostile in it ends with an error.
//!
//! - `location`: what `Parameters` and `Arguments` name
//! - `source`: an object's bytes, unpacked
//! - `csv`, `json`, `lines`: items from bytes
//! - `delimited`: the fields of rows
//! - `parquet`: items from columns
//! - `listing`, `manifest`: items about other objects, or from them
//! - `worker`: items from parsers that block

mod csv;
mod delimited;
mod json;
mod lines;
mod listing;
mod location;
mod manifest;
mod parquet;
mod source;
mod worker;

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use scones_asl::{
    Resource, error_names,
    event::Failure,
    map_run::{CsvHeaders, Delimiter, InputType, Item, ItemReader, ItemSource, ManifestType, MapRun},
};
use serde_json::Value;

pub(crate) use self::location::{Location, account};
use self::source::Source;
use crate::objects::ObjectStore;

/// Items as they are read.
type Values<T = Value> = BoxStream<'static, Result<T, Failure>>;
/// Objects that hold items.
type Locations = BoxStream<'static, Result<Location, Failure>>;

/// Items, one after another.
pub(crate) enum Items {
    /// From the state's input.
    Given(std::vec::IntoIter<Item>),
    /// From objects.
    Read(Values<Item>),
}

/// Begins to read.
///
/// # Errors
/// `States.ItemReaderFailed`: there is no such dataset, or it cannot be read.
pub(crate) async fn open(run: &MapRun, objects: &Arc<dyn ObjectStore>) -> Result<Items, Failure> {
    match &run.source {
        ItemSource::Items(items) => Ok(Items::Given(items.clone().into_iter())),
        ItemSource::Objects(reader) => read(reader, account(&run.arn), objects).await.map(Items::Read),
    }
}

impl Items {
    /// How many there are, where that is known.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Given(items) => u64::try_from(items.len()).ok(),
            Self::Read(_) => None,
        }
    }

    /// The next item; none at the end.
    ///
    /// # Errors
    /// The dataset cannot be read on.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, Failure> {
        match self {
            Self::Given(items) => Ok(items.next()),
            Self::Read(values) => values.try_next().await,
        }
    }
}

/// The failure of a run whose items cannot be read.
fn failed(cause: impl Into<String>) -> Failure {
    Failure {
        error: Some(error_names::ITEM_READER_FAILED.to_owned()),
        cause: Some(cause.into()),
    }
}

async fn read(reader: &ItemReader, account: &str, objects: &Arc<dyn ObjectStore>) -> Result<Values<Item>, Failure> {
    let Some(most) = reader.max_items else {
        return Err(failed("field MaxItems must be positive"));
    };
    let lists = matches!(&reader.resource, Resource::Service { action, .. } if action == "listObjectsV2");
    let items = if lists {
        let prefix = Location::named(&reader.parameters, "Prefix", account).map_err(failed)?;
        let bucket = format!("S3://{}", prefix.bucket).into();
        let listed = listing::objects(objects, prefix);
        match reader.flatten {
            false => from(bucket, listing::described(listed)),
            true => flatten(objects, listing::locations(listed), Form::of(reader)?),
        }
    } else {
        let object = Location::named(&reader.parameters, "Key", account).map_err(failed)?;
        match (reader.input_type, reader.manifest_type) {
            (_, Some(ManifestType::AthenaData)) => {
                let listed = manifest::athena(objects, object).await?;
                flatten(objects, listed, Form::of(reader)?)
            }
            (_, Some(ManifestType::S3Inventory)) | (Some(InputType::Manifest), None) => {
                let (listed, headers) = manifest::inventory(objects, object).await?;
                let form = Form::Csv(CsvHeaders::Given(headers), reader.delimiter);
                flatten(objects, listed, form)
            }
            _ => Form::of(reader)?.items(objects, object).await?,
        }
    };
    Ok(items.take(usize::try_from(most).unwrap_or(usize::MAX)).boxed())
}

/// The form of an object's items.
#[derive(Clone)]
enum Form {
    Csv(CsvHeaders, Delimiter),
    /// With a JSON Pointer.
    Json(Option<String>),
    JsonLines,
    Parquet,
}

impl Form {
    fn of(reader: &ItemReader) -> Result<Self, Failure> {
        match reader.input_type {
            Some(InputType::Csv) => {
                let headers = reader.headers.clone().unwrap_or(CsvHeaders::FirstRow);
                Ok(Self::Csv(headers, reader.delimiter))
            }
            Some(InputType::Json) => Ok(Self::Json(reader.items_pointer.clone())),
            Some(InputType::JsonLines) => Ok(Self::JsonLines),
            Some(InputType::Parquet) => Ok(Self::Parquet),
            Some(InputType::Manifest) | None => Err(failed("the InputType says nothing about the data")),
        }
    }

    /// Begins to read an object.
    async fn items(self, objects: &Arc<dyn ObjectStore>, object: Location) -> Result<Values<Item>, Failure> {
        let place = object.source();
        let source = async |object| Source::open(objects, object).await;
        Ok(match self {
            Self::Csv(headers, delimiter) => from(place, csv::items(source(object).await?, headers, delimiter)?),
            Self::Json(pointer) => from(place, json::items(source(object).await?, pointer)?),
            Self::JsonLines => from(place, lines::items(source(object).await?)),
            Self::Parquet => from(place, parquet::items(objects, object).await?),
        })
    }
}

/// The items, with the place where they are from.
fn from<T: Into<Item> + 'static>(place: Arc<str>, values: Values<T>) -> Values<Item> {
    let item = move |value: T| Item {
        source: Some(Arc::clone(&place)),
        ..value.into()
    };
    values.map_ok(item).boxed()
}

/// The items of each object, one object after another.
fn flatten(objects: &Arc<dyn ObjectStore>, locations: Locations, form: Form) -> Values<Item> {
    let objects = Arc::clone(objects);
    locations
        .and_then(move |location| {
            let (objects, form) = (Arc::clone(&objects), form.clone());
            async move { form.items(&objects, location).await }
        })
        .try_flatten()
        .boxed()
}
