//! Who may call, and as whom: the server's access key, temporary credentials
//! (STS) and the roles that clients create, look up and pass on (IAM).
//!
//! It never evaluates policies: whoever holds a valid key may do everything.
//! Policies of roles are kept and given back, trust policies are not checked,
//! and `SimulatePrincipalPolicy` says "allowed" because that is the truth.
//! Secrets appear in answers to their owner and in the store, never in
//! `Debug` output or the log.

mod error;
mod input;
mod limits;
mod policies;
mod random;
mod roles;
mod secret;
mod sessions;
mod simulate;
mod sts;

use std::sync::Arc;

use scones_api::{Arn, Clock, Owner};
use scones_store::{Collection, Store};

pub use error::{AuthenticationError, Error};
pub use secret::{Credentials, SecretKey};
pub use sts::Sts;

use self::{roles::Role, sessions::Sessions};

/// Whom a request comes from, by its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What the request must be signed with.
    pub secret: SecretKey,
    /// The root user, or a role's session.
    pub arn: Arn,
}

/// The service; its operations are IAM's.
pub struct Iam {
    owner: Owner,
    clock: Arc<dyn Clock>,
    credentials: Credentials,
    roles: Collection<Role>,
    sessions: Sessions,
}

impl Iam {
    /// Starts the service over `store`, for the holder of `credentials`. The
    /// first start makes two roles to begin with.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        credentials: Credentials,
        owner: Owner,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let now = clock.now();
        let iam = Self {
            credentials,
            roles: Collection::new(Arc::clone(&store), "iam.roles"),
            sessions: Sessions::load(Arc::clone(&store), now).await?,
            owner,
            clock,
        };
        iam.create_default_roles(store).await?;
        Ok(Arc::new(iam))
    }

    /// The access key of the server's owner.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// The secret of an access key, if the key is known and has not expired.
    /// Enough to check a signature; a temporary key also needs its token, see
    /// [`authenticate`](Self::authenticate).
    pub fn secret(&self, access_key_id: &str) -> Option<SecretKey> {
        if access_key_id == self.credentials.access_key_id {
            return Some(self.credentials.secret_access_key.clone());
        }
        let session = self.sessions.find(access_key_id)?;
        (session.expires > self.clock.now()).then_some(session.secret)
    }

    /// Whom an access key stands for. Temporary keys come with their session
    /// token, lasting ones without any.
    pub fn authenticate(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
    ) -> Result<Identity, AuthenticationError> {
        if access_key_id == self.credentials.access_key_id {
            return match session_token {
                None => Ok(Identity {
                    secret: self.credentials.secret_access_key.clone(),
                    arn: self.root(),
                }),
                Some(_) => Err(AuthenticationError::WrongToken),
            };
        }
        let session = self
            .sessions
            .find(access_key_id)
            .ok_or(AuthenticationError::UnknownKey)?;
        if !session_token.is_some_and(|token| session.token.is(token)) {
            return Err(AuthenticationError::WrongToken);
        }
        if session.expires <= self.clock.now() {
            return Err(AuthenticationError::Expired);
        }
        Ok(Identity {
            secret: session.secret,
            arn: session.arn,
        })
    }

    /// STS, which gives out sessions of this service.
    pub fn sts(self: &Arc<Self>) -> Sts {
        Sts::new(Arc::clone(self))
    }

    /// The account's root user, whom the access key belongs to.
    fn root(&self) -> Arn {
        Arn::global("iam", &self.owner, "root")
    }
}

scones_api::operations! {
    Iam, constraints: "ValidationError" {
        "CreateRole" => create_role,
        "GetRole" => get_role,
        "ListRoles" => list_roles,
        "UpdateAssumeRolePolicy" => update_assume_role_policy,
        "DeleteRole" => delete_role,
        "TagRole" => tag_role,
        "UntagRole" => untag_role,
        "ListRoleTags" => list_role_tags,
        "ListInstanceProfilesForRole" => list_instance_profiles_for_role,
        "AttachRolePolicy" => attach_role_policy,
        "ListAttachedRolePolicies" => list_attached_role_policies,
        "DetachRolePolicy" => detach_role_policy,
        "PutRolePolicy" => put_role_policy,
        "GetRolePolicy" => get_role_policy,
        "ListRolePolicies" => list_role_policies,
        "DeleteRolePolicy" => delete_role_policy,
        "SimulatePrincipalPolicy" => simulate_principal_policy,
    }
}
