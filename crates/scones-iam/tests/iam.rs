//! IAM and STS through their JSON interfaces.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::{sync::Arc, time::Duration};

use scones_api::{Caller, JsonService, ManualClock, Owner, RequestContext, Timestamp};
use scones_iam::{AuthenticationError, Credentials, Iam, SecretKey};
use scones_store::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;
const MANAGED: &str = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";

struct Server {
    directory: TempDir,
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    iam: Arc<Iam>,
}

impl Server {
    async fn start() -> Self {
        Self::open(tempfile::tempdir().unwrap(), Credentials::generate().unwrap()).await
    }

    async fn open(directory: TempDir, credentials: Credentials) -> Self {
        let store = SqliteStore::open(directory.path()).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let iam = Iam::start(credentials, Owner::default(), store.clone(), clock.clone())
            .await
            .unwrap();
        Self {
            directory,
            store,
            clock,
            iam,
        }
    }

    async fn restart(self) -> Self {
        self.store.close().await;
        Self::open(self.directory, self.iam.credentials()).await
    }

    async fn iam(&self, operation: &str, input: Value) -> Result<Value, String> {
        let key = self.iam.credentials().access_key_id;
        call(&*self.iam, operation, input, &key, "arn:aws:iam::000000000000:root").await
    }

    async fn sts(&self, operation: &str, input: Value) -> Result<Value, String> {
        let key = self.iam.credentials().access_key_id;
        call(
            &self.iam.sts(),
            operation,
            input,
            &key,
            "arn:aws:iam::000000000000:root",
        )
        .await
    }

    async fn create_role(&self, name: &str) {
        let input = json!({"RoleName": name, "AssumeRolePolicyDocument": TRUST});
        self.iam("CreateRole", input).await.unwrap();
    }
}

async fn call(service: &impl JsonService, name: &str, input: Value, key: &str, arn: &str) -> Result<Value, String> {
    let context = RequestContext {
        caller: Arc::new(Caller {
            access_key_id: key.to_owned(),
            arn: arn.parse().unwrap(),
        }),
        request_id: "r".to_owned(),
    };
    let answer = service.call(name, input.to_string().as_bytes(), &context).await;
    let body = answer.map_err(|error| format!("{} {error}", error.status))?;
    Ok(if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap()
    })
}

#[tokio::test]
async fn the_servers_key_is_known_and_its_secret_is_not_shown() {
    let server = Server::start().await;
    let credentials = server.iam.credentials();
    assert!(credentials.access_key_id.starts_with("AKIA") && credentials.access_key_id.len() == 20);
    assert_eq!(credentials.secret_access_key.expose().len(), 40);
    assert!(!format!("{credentials:?}").contains(credentials.secret_access_key.expose()));
    assert_eq!(
        server.iam.secret(&credentials.access_key_id),
        Some(credentials.secret_access_key.clone())
    );
    assert_eq!(server.iam.secret("AKIAOTHER"), None);
    assert_ne!(Credentials::generate().unwrap(), credentials);
}

#[test]
fn a_key_that_somebody_chose_must_be_well_formed() {
    let id = "AKIAIOSFODNN7EXAMPLE";
    for (id, secret, valid) in [
        (id, "a-long-enough-secret", true),
        ("short", "a-long-enough-secret", false),
        ("has spaces and more", "a-long-enough-secret", false),
        (id, "short", false),
        (id, "with a space inside", false),
    ] {
        let key = Credentials::new(id.to_owned(), SecretKey::from(secret.to_owned()));
        assert_eq!(key.is_ok(), valid, "{id:?} {secret:?}");
    }
}

#[tokio::test]
async fn the_root_user_is_told_who_it_is() {
    let server = Server::start().await;
    assert_eq!(
        server.sts("GetCallerIdentity", json!({})).await.unwrap(),
        json!({"Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root", "UserId": "000000000000"})
    );
    let key = server.iam.credentials();
    let identity = server.iam.authenticate(&key.access_key_id, None).unwrap();
    assert_eq!(identity.arn.to_string(), "arn:aws:iam::000000000000:root");
    assert_eq!(
        server.iam.authenticate(&key.access_key_id, Some("x")),
        Err(AuthenticationError::WrongToken)
    );
    assert_eq!(
        server.iam.authenticate("AKIA", None),
        Err(AuthenticationError::UnknownKey)
    );
}

#[tokio::test]
async fn an_assumed_role_has_a_key_until_it_expires() {
    let server = Server::start().await;
    let input = json!({
        "RoleArn": "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole",
        "RoleSessionName": "me", "DurationSeconds": "900",
    });
    let assumed = server.sts("AssumeRole", input).await.unwrap();
    let arn = "arn:aws:sts::000000000000:assumed-role/AmazonSageMaker-ExecutionRole/me";
    assert_eq!(assumed["AssumedRoleUser"]["Arn"], arn);
    assert_eq!(assumed["Credentials"]["Expiration"], "2023-11-14T22:28:20.000Z");
    let member = |name: &str| assumed["Credentials"][name].as_str().unwrap().to_owned();
    let (key, token) = (member("AccessKeyId"), member("SessionToken"));
    assert!(key.starts_with("ASIA"));

    let server = server.restart().await;
    let identity = server.iam.authenticate(&key, Some(&token)).unwrap();
    assert_eq!(identity.arn.to_string(), arn);
    assert_eq!(identity.secret.expose(), member("SecretAccessKey"));
    assert_eq!(server.iam.secret(&key), Some(identity.secret));
    for wrong in [None, Some("x"), Some(&token[1..])] {
        assert_eq!(
            server.iam.authenticate(&key, wrong),
            Err(AuthenticationError::WrongToken)
        );
    }
    let who = call(&server.iam.sts(), "GetCallerIdentity", json!({}), &key, arn)
        .await
        .unwrap();
    assert_eq!(who["UserId"], assumed["AssumedRoleUser"]["AssumedRoleId"]);
    assert!(
        call(&server.iam.sts(), "GetSessionToken", json!({}), &key, arn)
            .await
            .is_err()
    );

    server.clock.advance(Duration::from_secs(900));
    assert_eq!(
        server.iam.authenticate(&key, Some(&token)),
        Err(AuthenticationError::Expired)
    );
    assert_eq!(server.iam.secret(&key), None);
    server.sts("GetSessionToken", json!({})).await.unwrap();
    assert_eq!(
        server.iam.authenticate(&key, Some(&token)),
        Err(AuthenticationError::UnknownKey)
    );
}

#[tokio::test]
async fn sessions_keep_the_rules() {
    let server = Server::start().await;
    let role = "arn:aws:iam::000000000000:role/SconesRole";
    for (input, expect) in [
        (
            json!({"RoleArn": "arn:aws:iam::000000000000:role/None", "RoleSessionName": "me"}),
            "403 AccessDenied: User: arn:aws:iam::000000000000:root is not authorized to perform: sts:AssumeRole on \
             resource: arn:aws:iam::000000000000:role/None",
        ),
        (
            json!({"RoleArn": role, "RoleSessionName": "me", "DurationSeconds": 899}),
            "400 ValidationError: 1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy \
             constraint: Member must have value greater than or equal to 900",
        ),
        (
            json!({"RoleArn": role, "RoleSessionName": "me", "DurationSeconds": 3601}),
            "400 ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ),
        (
            json!({"RoleArn": role, "RoleSessionName": "a b"}),
            "400 ValidationError: 1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+",
        ),
    ] {
        assert_eq!(server.sts("AssumeRole", input).await.unwrap_err(), expect);
    }
    let input = json!({"RoleArn": role, "RoleSessionName": "me", "Policy": "{}"});
    assert!(
        server
            .sts("AssumeRole", input)
            .await
            .unwrap_err()
            .starts_with("501 NotImplemented")
    );
}

#[tokio::test]
async fn a_role_is_made_described_and_deleted() {
    let server = Server::start().await;
    let input = json!({
        "RoleName": "R", "Path": "/p/", "AssumeRolePolicyDocument": TRUST, "Description": "d",
        "Tags": [{"Key": "k", "Value": "v"}], "MaxSessionDuration": 7200,
    });
    let created = server.iam("CreateRole", input.clone()).await.unwrap();
    let server = server.restart().await;
    let found = server.iam("GetRole", json!({"RoleName": "R"})).await.unwrap();
    assert_eq!(found, created);
    let role = &found["Role"];
    assert_eq!(role["Arn"], "arn:aws:iam::000000000000:role/p/R");
    assert_eq!(role["CreateDate"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        role["AssumeRolePolicyDocument"],
        "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D"
    );
    assert_eq!(role["Tags"], json!([{"Key": "k", "Value": "v"}]));
    assert_eq!(
        server.iam("CreateRole", input).await.unwrap_err(),
        "409 EntityAlreadyExists: Role with name R already exists."
    );
    server.iam("DeleteRole", json!({"RoleName": "R"})).await.unwrap();
    assert_eq!(
        server.iam("GetRole", json!({"RoleName": "R"})).await.unwrap_err(),
        "404 NoSuchEntity: The role with name R cannot be found."
    );
}

#[tokio::test]
async fn bad_roles_are_refused() {
    let server = Server::start().await;
    for (name, path, policy, code) in [
        ("", "/", TRUST, "400 ValidationError"),
        ("a b", "/", TRUST, "400 ValidationError"),
        ("R", "p", TRUST, "400 ValidationError"),
        ("R", "//", TRUST, "400 ValidationError"),
        ("R", "/", "{", "400 MalformedPolicyDocument"),
        ("R", "/", "[]", "400 MalformedPolicyDocument"),
    ] {
        let input = json!({"RoleName": name, "Path": path, "AssumeRolePolicyDocument": policy});
        let error = server.iam("CreateRole", input).await.unwrap_err();
        assert!(error.starts_with(code), "{error}");
    }
}

#[tokio::test]
async fn roles_are_listed_in_pages() {
    let server = Server::start().await;
    server.create_role("Another").await;
    let mut input = json!({"MaxItems": "2"});
    let mut found = Vec::new();
    loop {
        let page = server.iam("ListRoles", input.clone()).await.unwrap();
        let roles = page["Roles"].as_array().unwrap().iter();
        found.extend(roles.map(|role| role["RoleName"].as_str().unwrap().to_owned()));
        if page["IsTruncated"] == json!(false) {
            assert_eq!(page.get("Marker"), None);
            break;
        }
        input["Marker"] = page["Marker"].clone();
    }
    assert_eq!(found, ["AmazonSageMaker-ExecutionRole", "Another", "SconesRole"]);
    let page = server
        .iam("ListRoles", json!({"PathPrefix": "/service-role/"}))
        .await
        .unwrap();
    assert_eq!(page["Roles"].as_array().unwrap().len(), 1);
    assert!(server.iam("ListRoles", json!({"Marker": "x"})).await.is_err());
}

#[tokio::test]
async fn default_roles_that_are_deleted_stay_away() {
    let server = Server::start().await;
    server
        .iam("DeleteRole", json!({"RoleName": "SconesRole"}))
        .await
        .unwrap();
    let server = server.restart().await;
    assert!(server.iam("GetRole", json!({"RoleName": "SconesRole"})).await.is_err());
    server
        .iam("GetRole", json!({"RoleName": "AmazonSageMaker-ExecutionRole"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn policies_are_attached_and_detached() {
    let server = Server::start().await;
    server.create_role("R").await;
    let policy = json!({"RoleName": "R", "PolicyArn": MANAGED});
    server.iam("AttachRolePolicy", policy.clone()).await.unwrap();
    server.iam("AttachRolePolicy", policy.clone()).await.unwrap();
    assert_eq!(
        server
            .iam("ListAttachedRolePolicies", json!({"RoleName": "R"}))
            .await
            .unwrap(),
        json!({
            "AttachedPolicies": [{"PolicyName": "AmazonS3ReadOnlyAccess", "PolicyArn": MANAGED}],
            "IsTruncated": false,
        })
    );
    assert_eq!(
        server.iam("DeleteRole", json!({"RoleName": "R"})).await.unwrap_err(),
        "409 DeleteConflict: Cannot delete entity, must detach all policies first."
    );
    let own = json!({"RoleName": "R", "PolicyArn": "arn:aws:iam::000000000000:policy/Own"});
    assert!(
        server
            .iam("AttachRolePolicy", own)
            .await
            .unwrap_err()
            .starts_with("404 NoSuchEntity")
    );
    server.iam("DetachRolePolicy", policy.clone()).await.unwrap();
    assert_eq!(
        server.iam("DetachRolePolicy", policy).await.unwrap_err(),
        format!("404 NoSuchEntity: Policy {MANAGED} was not found.")
    );
    server.iam("DeleteRole", json!({"RoleName": "R"})).await.unwrap();
}

#[tokio::test]
async fn inline_policies_are_kept() {
    let server = Server::start().await;
    server.create_role("R").await;
    let name = json!({"RoleName": "R", "PolicyName": "P"});
    let put = |document: &str| json!({"RoleName": "R", "PolicyName": "P", "PolicyDocument": document});
    server.iam("PutRolePolicy", put("{}")).await.unwrap();
    let found = server.iam("GetRolePolicy", name.clone()).await.unwrap();
    assert_eq!(
        found,
        json!({"RoleName": "R", "PolicyName": "P", "PolicyDocument": "%7B%7D"})
    );
    assert_eq!(
        server.iam("ListRolePolicies", json!({"RoleName": "R"})).await.unwrap(),
        json!({"PolicyNames": ["P"], "IsTruncated": false})
    );
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(10_240));
    assert!(
        server
            .iam("PutRolePolicy", put(&large))
            .await
            .unwrap_err()
            .starts_with("409 LimitExceeded")
    );
    assert_eq!(
        server.iam("DeleteRole", json!({"RoleName": "R"})).await.unwrap_err(),
        "409 DeleteConflict: Cannot delete entity, must delete policies first."
    );
    server.iam("DeleteRolePolicy", name.clone()).await.unwrap();
    assert_eq!(
        server.iam("GetRolePolicy", name).await.unwrap_err(),
        "404 NoSuchEntity: The role policy with name P cannot be found."
    );
}

#[tokio::test]
async fn a_simulation_allows_whoever_exists() {
    let server = Server::start().await;
    let input = |arn: &str| json!({"PolicySourceArn": arn, "ActionNames": ["s3:GetObject", "s3:PutObject"], "ResourceArns": ["a", "b"]});
    for arn in [
        "arn:aws:iam::000000000000:root",
        "arn:aws:iam::000000000000:role/SconesRole",
    ] {
        let answer = server.iam("SimulatePrincipalPolicy", input(arn)).await.unwrap();
        let results = answer["EvaluationResults"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        assert!(results.iter().all(|result| result["EvalDecision"] == "allowed"));
        assert_eq!(results[1]["EvalActionName"], "s3:GetObject");
        assert_eq!(results[1]["EvalResourceName"], "b");
    }
    let error = server
        .iam("SimulatePrincipalPolicy", input("arn:aws:iam::000000000000:role/None"))
        .await;
    assert!(error.unwrap_err().starts_with("404 NoSuchEntity"));
    let error = server.iam("SimulatePrincipalPolicy", input("nobody")).await;
    assert!(error.unwrap_err().starts_with("400 InvalidInput"));
    assert!(
        server
            .iam("CreateUser", json!({}))
            .await
            .unwrap_err()
            .starts_with("501 NotImplemented")
    );
}
