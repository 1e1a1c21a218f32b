//! What training jobs, models, endpoint configurations and endpoints have in common: each is a
//! record that is created once, found, listed, tagged and deleted by its name.

use scones_api::{ApiError, Arn, Constraints};
use scones_store::{Collection, Error as StoreError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    SageMaker,
    listing::{self, Facts, ListInput, ListOutput, Listing},
    member::{Members, Tag},
};

/// A kind of record.
pub(crate) trait Resource: Serialize + DeserializeOwned + Send + Sync {
    /// An entry of the listing.
    type Summary;

    /// The kind in ARNs.
    const KIND: &'static str;
    /// The kind in AWS's texts.
    const NOUN: &'static str;
    /// The member of requests that names one, as constraints write it.
    const NAME_FIELD: &'static str;
    const LISTING: Listing;

    fn records(service: &SageMaker) -> &Collection<Self>;
    fn facts(&self) -> Facts<'_>;
    fn tags(&mut self) -> &mut Vec<Tag>;
    fn summary(self) -> Self::Summary;

    fn constrain_name(constraints: &mut Constraints, field: &str, name: &str) {
        constraints.name(field, name);
    }

    /// The name that a request must give.
    fn name(given: Option<String>) -> Result<String, ApiError> {
        let mut constraints = Constraints::new();
        let name = constraints.required_text(Self::NAME_FIELD, given, Self::constrain_name);
        constraints.check().map(|()| name)
    }

    fn missing(arn: &Arn) -> ApiError {
        ApiError::validation(format!("Could not find {} \"{arn}\".", Self::NOUN))
    }

    fn exists_already(arn: &Arn) -> ApiError {
        ApiError::validation(format!("Cannot create already existing {} \"{arn}\".", Self::NOUN))
    }
}

impl SageMaker {
    pub(crate) fn missing<R: Resource>(&self, name: &str) -> ApiError {
        R::missing(&self.arn(R::KIND, name))
    }

    pub(crate) fn exists_already<R: Resource>(&self, name: &str) -> ApiError {
        R::exists_already(&self.arn(R::KIND, name))
    }

    pub(crate) async fn create<R: Resource>(&self, record: &R) -> Result<(), ApiError> {
        let name = record.facts().name;
        match R::records(self).create(name, record).await {
            Err(StoreError::Conflict { .. }) => Err(self.exists_already::<R>(name)),
            created => Ok(created.map(drop)?),
        }
    }

    pub(crate) async fn get<R: Resource>(&self, name: &str) -> Result<R, ApiError> {
        let found = R::records(self).get(name).await?;
        found.map(|found| found.value).ok_or_else(|| self.missing::<R>(name))
    }

    /// Changes a record unless `change` refuses it.
    pub(crate) async fn change<R: Resource>(
        &self,
        name: &str,
        change: impl FnMut(&mut R) -> Result<(), ApiError> + Send,
    ) -> Result<R, ApiError> {
        let changed = R::records(self).update(name, change).await?;
        changed.ok_or_else(|| self.missing::<R>(name))
    }

    pub(crate) async fn list<R: Resource>(&self, input: &ListInput) -> Result<ListOutput<R::Summary>, ApiError> {
        let records = R::records(self).all("").await?;
        let records = records.into_iter().map(|(_, record)| record).collect();
        let page = listing::page(records, &R::LISTING, input, R::facts)?;
        Ok(page.map(R::summary))
    }

    pub(crate) async fn delete<R: Resource>(&self, name: &str) -> Result<(), ApiError> {
        if R::records(self).delete(name).await? {
            Ok(())
        } else {
            Err(self.missing::<R>(name))
        }
    }
}
