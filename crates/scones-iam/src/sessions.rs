//! Temporary credentials. They are kept in the store, so that they outlive a
//! restart, and in memory, so that a signature is checked without waiting.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use scones_api::{Arn, Timestamp};
use scones_store::{Collection, Store};
use serde::{Deserialize, Serialize};

use crate::{Credentials, Error, SecretKey, limits::SESSIONS_MAX, random};

/// A session, under its access key id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) secret: SecretKey,
    pub(crate) token: SecretKey,
    pub(crate) expires: Timestamp,
    /// Who holds it.
    pub(crate) arn: Arn,
    pub(crate) user_id: String,
}

pub(crate) struct Sessions {
    kept: Collection<Session>,
    open: RwLock<HashMap<String, Session>>,
}

impl Sessions {
    /// The sessions that the store has; expired ones are deleted.
    pub(crate) async fn load(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, Error> {
        let kept = Collection::<Session>::new(store, "iam.sessions");
        let mut open = HashMap::new();
        for (key, session) in kept.all("").await? {
            if session.expires > now {
                open.insert(key, session);
            } else {
                kept.delete(&key).await?;
            }
        }
        Ok(Self {
            kept,
            open: RwLock::new(open),
        })
    }

    pub(crate) fn find(&self, access_key_id: &str) -> Option<Session> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(access_key_id).cloned()
    }

    /// Opens a session for `arn`. `None` if there are too many. Sessions that
    /// have expired make room.
    pub(crate) async fn open(
        &self,
        arn: Arn,
        user_id: String,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Option<(String, Session)>, Error> {
        for key in self.expired(now) {
            self.kept.delete(&key).await?;
            self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
        if self.open.read().unwrap_or_else(PoisonError::into_inner).len() >= SESSIONS_MAX {
            return Ok(None);
        }
        let Credentials {
            access_key_id,
            secret_access_key,
        } = Credentials::random("ASIA")?;
        let session = Session {
            secret: secret_access_key,
            token: SecretKey::from(random::secret::<128>()?),
            expires,
            arn,
            user_id,
        };
        self.kept.create(&access_key_id, &session).await?;
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(access_key_id.clone(), session.clone());
        Ok(Some((access_key_id, session)))
    }

    fn expired(&self, now: Timestamp) -> Vec<String> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let expired = open.iter().filter(|(_, session)| session.expires <= now);
        expired.map(|(key, _)| key.clone()).collect()
    }
}
