//! Functions: create, read, list, update, delete.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use scones_api::{ApiError, RequestContext};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Both, Qualified, check_revision, conflict, new_revision, page, tags::check_tags};
use crate::{
    Lambda,
    configuration::{FunctionConfiguration, Settings, default_version, invalid},
    function::{Code, Function, Version},
    limits::{ZIPPED_BASE64_BYTES_MAX, ZIPPED_OBJECT_BYTES_MAX},
    name::{FunctionReference, LATEST, function_not_found, is_version_number},
};

/// Where a package comes from.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionCode {
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    s3_key: Option<String>,
    s3_object_version: Option<String>,
    image_uri: Option<String>,
    #[serde(rename = "SourceKMSKeyArn")]
    source_kms_key_arn: Option<String>,
}

/// What CreateFunction takes besides settings.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateFunction {
    function_name: String,
    #[serde(default)]
    code: FunctionCode,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    package_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// What UpdateFunctionCode takes besides the package.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateFunctionCode {
    function_name: String,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    revision_id: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
}

/// What UpdateFunctionConfiguration takes besides settings.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateFunctionConfiguration {
    function_name: String,
    #[serde(default)]
    revision_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListFunctions {
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Functions {
    functions: Vec<FunctionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetFunction {
    configuration: FunctionConfiguration,
    code: CodeLocation,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<ReservedConcurrency>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CodeLocation {
    repository_type: &'static str,
    location: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReservedConcurrency {
    reserved_concurrent_executions: u32,
}

impl Lambda {
    pub(super) async fn create_function(
        &self,
        input: Both<Settings, CreateFunction>,
        _: &RequestContext,
    ) -> Result<FunctionConfiguration, ApiError> {
        let Both(settings, input) = input;
        let reference = FunctionReference::resolve(&input.function_name, None, &self.owner)?;
        if reference.qualifier.is_some() {
            return Err(invalid("A function is created without a version or alias in its name."));
        }
        let name = reference.name;
        if input.package_type.as_deref() == Some("Image") || input.code.image_uri.is_some() {
            return Err(ApiError::not_implemented("functions with the PackageType Image"));
        }
        settings.check_complete()?;
        check_tags(&input.tags)?;
        let exists = || conflict(format!("Function already exist: {name}"));
        if self.functions.get(&name).await?.is_some() {
            return Err(exists());
        }
        // Everything is checked before the package is kept.
        let no_code = Code {
            blob: scones_store::BlobId(String::new()),
            sha256: String::new(),
            size: 0,
        };
        let mut version = default_version(&name, no_code, self.clock.now(), new_revision());
        settings.apply(&mut version)?;
        set_architecture(&mut version, input.architectures)?;
        version.code = self
            .code
            .keep(self.package(input.code, "CreateFunction").await?)
            .await?;
        let mut function = Function {
            id: Uuid::new_v4().to_string(),
            latest: version,
            versions: Vec::new(),
            next_version: 1,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            reserved_concurrency: None,
            tags: input.tags,
        };
        let shown = match input.publish {
            true => function.publish(None, self.clock.now(), new_revision()),
            false => function.latest.clone(),
        };
        match self.functions.create(&name, &function).await {
            Ok(_) => Ok(self.shown(&shown)),
            Err(error) => {
                self.code.forget(&function.latest.code).await;
                Err(match error {
                    scones_store::Error::Conflict { .. } => exists(),
                    other => other.into(),
                })
            }
        }
    }

    pub(super) async fn get_function(&self, input: Qualified, _: &RequestContext) -> Result<GetFunction, ApiError> {
        let (function, version, qualifier) = self.qualified(&input).await?;
        Ok(GetFunction {
            configuration: FunctionConfiguration::new(&version, qualifier.as_deref(), &self.owner),
            code: CodeLocation {
                repository_type: "S3",
                location: self.code_link(&version)?,
            },
            tags: function.tags,
            concurrency: function.reserved_concurrency.map(|share| ReservedConcurrency {
                reserved_concurrent_executions: share,
            }),
        })
    }

    pub(super) async fn get_function_configuration(
        &self,
        input: Qualified,
        _: &RequestContext,
    ) -> Result<FunctionConfiguration, ApiError> {
        let (_, version, qualifier) = self.qualified(&input).await?;
        Ok(FunctionConfiguration::new(&version, qualifier.as_deref(), &self.owner))
    }

    pub(super) async fn list_functions(&self, input: ListFunctions, _: &RequestContext) -> Result<Functions, ApiError> {
        let all_versions = match input.function_version.as_deref() {
            None => false,
            Some("ALL") => true,
            Some(other) => {
                return Err(ApiError::validation(format!(
                    "1 validation error detected: Value '{other}' at 'functionVersion' failed to satisfy constraint: \
                     Member must satisfy enum value set: [ALL]"
                )));
            }
        };
        let functions = self.functions.all("").await?;
        let versions = functions.into_iter().flat_map(|(_, function)| {
            let published = if all_versions { function.versions } else { Vec::new() };
            std::iter::once(function.latest).chain(published)
        });
        let (found, next_marker) = page(
            "ListFunctions",
            versions,
            sort_key,
            input.marker.as_deref(),
            input.max_items,
        )?;
        let show = |version: &Version| {
            let qualifier = all_versions.then_some(version.version.as_str());
            FunctionConfiguration::new(version, qualifier, &self.owner)
        };
        Ok(Functions {
            functions: found.iter().map(show).collect(),
            next_marker,
        })
    }

    pub(super) async fn update_function_code(
        &self,
        input: Both<FunctionCode, UpdateFunctionCode>,
        _: &RequestContext,
    ) -> Result<FunctionConfiguration, ApiError> {
        let Both(source, input) = input;
        let name = self.unqualified(&input.function_name)?;
        let before = self.function(&name, None).await?;
        check_revision(input.revision_id.as_deref(), &before.latest.revision)?;
        if source.image_uri.is_some() {
            return Err(ApiError::not_implemented("functions with the PackageType Image"));
        }
        let package = self.package(source, "UpdateFunctionCode").await?;
        if input.dry_run {
            let mut shown = before.latest;
            (shown.code.sha256, shown.code.size) = self.code.check(package).await?;
            return Ok(self.shown(&shown));
        }
        let code = self.code.keep(package).await?;
        let (now, revisions) = (self.clock.now(), [new_revision(), new_revision()]);
        let mut replaced = None;
        let mut shown = None;
        let changed = self
            .change(&name, |function| {
                check_revision(input.revision_id.as_deref(), &function.latest.revision)?;
                replaced = Some(std::mem::replace(&mut function.latest.code, code.clone()));
                set_architecture(&mut function.latest, input.architectures.clone())?;
                function.latest.modified = now;
                function.latest.revision.clone_from(&revisions[0]);
                shown = Some(match input.publish {
                    true => function.publish(None, now, revisions[1].clone()),
                    false => function.latest.clone(),
                });
                Ok(())
            })
            .await;
        let function = match changed {
            Ok(function) => function,
            Err(error) => {
                self.code.forget(&code).await;
                return Err(error);
            }
        };
        self.executor.pool.retire(&name);
        if let Some(old) = replaced.filter(|old| !function.uses(old)) {
            self.code.forget(&old).await;
        }
        Ok(self.shown(shown.as_ref().unwrap_or(&function.latest)))
    }

    pub(super) async fn update_function_configuration(
        &self,
        input: Both<Settings, UpdateFunctionConfiguration>,
        _: &RequestContext,
    ) -> Result<FunctionConfiguration, ApiError> {
        let Both(settings, input) = input;
        let name = self.unqualified(&input.function_name)?;
        let (now, revision) = (self.clock.now(), new_revision());
        let function = self
            .change(&name, |function| {
                check_revision(input.revision_id.as_deref(), &function.latest.revision)?;
                settings.apply(&mut function.latest)?;
                function.latest.modified = now;
                function.latest.revision.clone_from(&revision);
                Ok(())
            })
            .await?;
        self.executor.pool.retire(&name);
        Ok(self.shown(&function.latest))
    }

    pub(super) async fn delete_function(&self, input: Qualified, _: &RequestContext) -> Result<(), ApiError> {
        let reference = self.reference(&input)?;
        match reference.qualifier.as_deref() {
            None => self.delete_whole(&reference.name).await,
            Some(LATEST) => Err(invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            )),
            Some(number) if is_version_number(number) => self.delete_version(&reference.name, number).await,
            Some(_) => Err(invalid("Deletion of aliases is not currently supported.")),
        }
    }

    async fn delete_whole(&self, name: &str) -> Result<(), ApiError> {
        let function = self.function(name, None).await?;
        if !self.functions.delete(name).await? {
            return Err(function_not_found(&self.owner, name, None));
        }
        self.executor.pool.retire(name);
        self.executor.concurrency.reserve(name, None);
        self.store.delete_queue(&function.queue()).await?;
        for code in function.codes() {
            self.code.forget(code).await;
        }
        Ok(())
    }

    async fn delete_version(&self, name: &str, number: &str) -> Result<(), ApiError> {
        let mut removed = None;
        let function = self
            .change(name, |function| {
                let users: Vec<&str> = function
                    .aliases
                    .iter()
                    .filter(|(_, alias)| alias.version == number || alias.weights.contains_key(number))
                    .map(|(name, _)| name.as_str())
                    .collect();
                if !users.is_empty() {
                    return Err(conflict(format!(
                        "Unable to delete version because the following aliases reference it: [{}]",
                        users.join(", ")
                    )));
                }
                let position = function.versions.iter().position(|version| version.version == number);
                let position = position.ok_or_else(|| function_not_found(&self.owner, name, Some(number)))?;
                removed = Some(function.versions.remove(position).code);
                Ok(())
            })
            .await?;
        self.executor.pool.retire(name);
        if let Some(code) = removed.filter(|code| !function.uses(code)) {
            self.code.forget(&code).await;
        }
        Ok(())
    }

    /// The bytes of a package.
    async fn package(&self, source: FunctionCode, operation: &str) -> Result<Bytes, ApiError> {
        if source.source_kms_key_arn.is_some_and(|key| !key.is_empty()) {
            return Err(ApiError::not_implemented("a package with a SourceKMSKeyArn"));
        }
        if source.s3_object_version.is_some() {
            return Err(ApiError::not_implemented("a package with an S3ObjectVersion"));
        }
        match (source.zip_file, source.s3_bucket, source.s3_key) {
            (Some(text), None, None) => {
                if text.len() > ZIPPED_BASE64_BYTES_MAX {
                    return Err(ApiError::new(
                        413,
                        "RequestEntityTooLargeException",
                        format!(
                            "Request must be smaller than {ZIPPED_BASE64_BYTES_MAX} bytes for the {operation} operation"
                        ),
                    ));
                }
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|_| ApiError::bad_request("SerializationException", "ZipFile is not base64"))?;
                Ok(bytes.into())
            }
            (None, Some(bucket), Some(key)) => self
                .objects
                .read_object(&bucket, &key, ZIPPED_OBJECT_BYTES_MAX)
                .await
                .map_err(|error| {
                    invalid(format!(
                        "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}",
                        error.code, error.message
                    ))
                }),
            (None, None, None) => Err(invalid("Please provide a source for function code.")),
            _ => Err(invalid(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            )),
        }
    }

    /// A reference that may have a qualifier.
    pub(super) fn reference(&self, input: &Qualified) -> Result<FunctionReference, ApiError> {
        FunctionReference::resolve(&input.function_name, input.qualifier.as_deref(), &self.owner)
    }

    /// The name in a reference that only the function itself can be meant by.
    pub(super) fn unqualified(&self, text: &str) -> Result<String, ApiError> {
        let reference = FunctionReference::resolve(text, None, &self.owner)?;
        match reference.qualifier.as_deref() {
            None | Some(LATEST) => Ok(reference.name),
            Some(_) => Err(invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
            )),
        }
    }

    async fn qualified(&self, input: &Qualified) -> Result<(Function, Version, Option<String>), ApiError> {
        let reference = self.reference(input)?;
        let qualifier = reference.qualifier;
        let function = self.function(&reference.name, qualifier.as_deref()).await?;
        let version = function.version(qualifier.as_deref(), 1.0, &self.owner)?.clone();
        Ok((function, version, qualifier))
    }

    /// A version as its own operations show it: `$LATEST` without a qualifier.
    pub(super) fn shown(&self, version: &Version) -> FunctionConfiguration {
        let qualifier = (version.version != LATEST).then_some(version.version.as_str());
        FunctionConfiguration::new(version, qualifier, &self.owner)
    }
}

/// Orders versions by function and number, `$LATEST` first.
fn sort_key(version: &Version) -> String {
    let number: u64 = version.version.parse().unwrap_or(0);
    format!("{}:{number:020}", version.name)
}

fn set_architecture(version: &mut Version, given: Option<Vec<String>>) -> Result<(), ApiError> {
    match given.as_deref() {
        None => Ok(()),
        Some([one]) if ["x86_64", "arm64"].contains(&one.as_str()) => {
            version.architecture.clone_from(one);
            Ok(())
        }
        Some(other) => Err(ApiError::validation(format!(
            "1 validation error detected: Value '[{}]' at 'architectures' failed to satisfy constraint: Member must \
             satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
            other.join(", ")
        ))),
    }
}
