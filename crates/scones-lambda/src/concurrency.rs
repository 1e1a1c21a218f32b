//! How many invocations run at a time: AWS's quotas.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use scones_api::ApiError;

use crate::{configuration::invalid, limits::UNRESERVED_CONCURRENCY_MIN};

/// Counts invocations against the account's quota and the functions' shares of
/// it. Cheap to clone.
#[derive(Clone)]
pub struct Concurrency {
    limit: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    reserved: HashMap<String, u32>,
    running: HashMap<String, u32>,
}

/// One invocation that runs; it ends when this is dropped.
pub struct Admission {
    name: String,
    state: Arc<Mutex<State>>,
}

impl Concurrency {
    /// Nothing runs and nothing is reserved.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            state: Arc::default(),
        }
    }

    /// The account's quota.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// What is reserved for no function.
    pub fn unreserved(&self) -> u32 {
        unreserved(self.limit, &lock(&self.state))
    }

    /// Reserves `share` for a function, or nothing.
    pub fn reserve(&self, name: &str, share: Option<u32>) {
        let mut state = lock(&self.state);
        match share {
            Some(share) => state.reserved.insert(name.to_owned(), share),
            None => state.reserved.remove(name),
        };
    }

    /// Whether `share` may be reserved for a function.
    ///
    /// # Errors
    /// AWS's `InvalidParameterValueException` if too little would be left.
    pub fn check(&self, name: &str, share: u32) -> Result<(), ApiError> {
        let state = lock(&self.state);
        let own = state.reserved.get(name).copied().unwrap_or(0);
        let free = unreserved(self.limit, &state).saturating_add(own);
        let minimum = UNRESERVED_CONCURRENCY_MIN.min(self.limit);
        if free < minimum.saturating_add(share) {
            return Err(invalid(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
                 below its minimum value of [{minimum}]."
            )));
        }
        Ok(())
    }

    /// Lets one more invocation of a function run.
    ///
    /// # Errors
    /// AWS's `TooManyRequestsException` (429).
    pub fn admit(&self, name: &str) -> Result<Admission, ApiError> {
        let mut state = lock(&self.state);
        let full = match state.reserved.get(name) {
            Some(share) => state.running.get(name).copied().unwrap_or(0) >= *share,
            None => {
                let is_unreserved = |(other, _): &(&String, &u32)| !state.reserved.contains_key(*other);
                let running: u32 = state.running.iter().filter(is_unreserved).map(|(_, count)| count).sum();
                running >= unreserved(self.limit, &state)
            }
        };
        if full {
            return Err(too_many_requests());
        }
        *state.running.entry(name.to_owned()).or_default() += 1;
        Ok(Admission {
            name: name.to_owned(),
            state: Arc::clone(&self.state),
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(count) = state.running.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&self.name);
            }
        }
    }
}

/// AWS's answer when a function may not run more often at a time.
pub fn too_many_requests() -> ApiError {
    ApiError::new(429, "TooManyRequestsException", "Rate Exceeded.")
}

fn unreserved(limit: u32, state: &State) -> u32 {
    limit.saturating_sub(state.reserved.values().sum())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_a_share_and_a_bound() {
        let concurrency = Concurrency::new(3);
        concurrency.reserve("a", Some(1));
        let first = concurrency.admit("a").unwrap();
        assert_eq!(concurrency.admit("a").err(), Some(too_many_requests()));
        let others = [concurrency.admit("b"), concurrency.admit("c")];
        assert!(others.iter().all(Result::is_ok));
        assert!(concurrency.admit("d").is_err(), "the rest of the account is used up");
        drop(first);
        assert!(concurrency.admit("d").is_err(), "a reservation is nobody else's");
        assert!(concurrency.admit("a").is_ok());
        drop(others);
        assert!(concurrency.admit("d").is_ok());
    }

    #[test]
    fn a_reservation_of_nothing_stops_a_function() {
        let concurrency = Concurrency::new(1000);
        concurrency.reserve("a", Some(0));
        assert!(concurrency.admit("a").is_err());
        concurrency.reserve("a", None);
        assert!(concurrency.admit("a").is_ok());
    }

    #[test]
    fn something_is_always_left_for_the_others() {
        let concurrency = Concurrency::new(1000);
        assert!(concurrency.check("a", 900).is_ok());
        assert!(concurrency.check("a", 901).is_err());
        concurrency.reserve("a", Some(900));
        assert!(
            concurrency.check("a", 900).is_ok(),
            "its own share is free to be set anew"
        );
        assert!(concurrency.check("b", 1).is_err());
    }
}
