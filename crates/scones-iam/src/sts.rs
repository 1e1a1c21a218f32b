//! STS: who am I, and temporary credentials.

use std::{sync::Arc, time::Duration};

use scones_api::{ApiError, Arn, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    Iam,
    error::check,
    input::number,
    limits::{
        ROLE_SESSION_SECONDS_DEFAULT, ROLE_SESSION_SECONDS_MAX, SESSION_SECONDS_MIN, SESSION_TOKEN_SECONDS_DEFAULT,
        SESSION_TOKEN_SECONDS_MAX, SESSIONS_MAX,
    },
    roles::NAME_PATTERN,
    roles::is_name,
};

/// The service STS over the keys and roles of [`Iam`].
pub struct Sts {
    iam: Arc<Iam>,
}

#[derive(Deserialize)]
pub(crate) struct GetCallerIdentity {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CallerIdentity {
    account: String,
    arn: String,
    user_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    #[serde(default, deserialize_with = "number")]
    duration_seconds: Option<i64>,
    policy: Option<String>,
    policy_arns: Option<Vec<serde_json::Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AssumedRole {
    credentials: SessionCredentials,
    assumed_role_user: AssumedRoleUser,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetSessionToken {
    #[serde(default, deserialize_with = "number")]
    duration_seconds: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SessionToken {
    credentials: SessionCredentials,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SessionCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl Sts {
    pub(crate) fn new(iam: Arc<Iam>) -> Self {
        Self { iam }
    }

    async fn get_caller_identity(
        &self,
        _: GetCallerIdentity,
        context: &RequestContext,
    ) -> Result<CallerIdentity, ApiError> {
        let account = self.iam.owner.account.to_string();
        let session = self.iam.sessions.find(&context.caller.access_key_id);
        Ok(CallerIdentity {
            user_id: session.map_or_else(|| account.clone(), |session| session.user_id),
            arn: context.caller.arn.to_string(),
            account,
        })
    }

    async fn assume_role(&self, input: AssumeRole, context: &RequestContext) -> Result<AssumedRole, ApiError> {
        let seconds = input.duration_seconds.unwrap_or(ROLE_SESSION_SECONDS_DEFAULT);
        check(
            Constraints::new()
                .length("roleArn", &input.role_arn, 20, 2048)
                .length("roleSessionName", &input.role_session_name, 2, 64)
                .pattern("roleSessionName", &input.role_session_name, NAME_PATTERN, is_name)
                .range(
                    "durationSeconds",
                    seconds,
                    SESSION_SECONDS_MIN,
                    ROLE_SESSION_SECONDS_MAX,
                ),
        )?;
        if input.policy.is_some() || input.policy_arns.is_some_and(|arns| !arns.is_empty()) {
            return Err(ApiError::not_implemented("AssumeRole with session policies"));
        }
        let role = self.iam.role_of_arn(&input.role_arn).await?.ok_or_else(|| {
            let message = format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
                context.caller.arn, input.role_arn
            );
            ApiError::new(403, "AccessDenied", message)
        })?;
        if seconds > role.max_session_duration {
            return Err(ApiError::bad_request(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        let session_name = input.role_session_name;
        let resource = format!("assumed-role/{}/{session_name}", role.role_name);
        let arn = Arn::global("sts", &self.iam.owner, resource);
        let assumed_role_id = format!("{}:{session_name}", role.role_id);
        Ok(AssumedRole {
            credentials: self.open(arn.clone(), assumed_role_id.clone(), seconds).await?,
            assumed_role_user: AssumedRoleUser {
                assumed_role_id,
                arn: arn.to_string(),
            },
        })
    }

    async fn get_session_token(
        &self,
        input: GetSessionToken,
        context: &RequestContext,
    ) -> Result<SessionToken, ApiError> {
        let seconds = input.duration_seconds.unwrap_or(SESSION_TOKEN_SECONDS_DEFAULT);
        check(Constraints::new().range(
            "durationSeconds",
            seconds,
            SESSION_SECONDS_MIN,
            SESSION_TOKEN_SECONDS_MAX,
        ))?;
        if self.iam.sessions.find(&context.caller.access_key_id).is_some() {
            let message = "Cannot call GetSessionToken with session credentials";
            return Err(ApiError::new(403, "AccessDenied", message));
        }
        let user_id = self.iam.owner.account.to_string();
        let credentials = self.open(context.caller.arn.clone(), user_id, seconds).await?;
        Ok(SessionToken { credentials })
    }

    async fn open(&self, arn: Arn, user_id: String, seconds: i64) -> Result<SessionCredentials, ApiError> {
        let now = self.iam.clock.now();
        let expires = now + Duration::from_secs(seconds.unsigned_abs());
        let opened = self.iam.sessions.open(arn, user_id, now, expires).await?;
        let (access_key_id, session) = opened.ok_or_else(|| {
            let message = format!("{SESSIONS_MAX} sessions have not expired yet; wait for one of them");
            ApiError::new(400, "Throttling", message)
        })?;
        Ok(SessionCredentials {
            access_key_id,
            secret_access_key: session.secret.expose().to_owned(),
            session_token: session.token.expose().to_owned(),
            expiration: session.expires.to_iso8601(),
        })
    }
}

scones_api::operations! {
    Sts, constraints: "ValidationError" {
        "GetCallerIdentity" => get_caller_identity,
        "AssumeRole" => assume_role,
        "GetSessionToken" => get_session_token,
    }
}
