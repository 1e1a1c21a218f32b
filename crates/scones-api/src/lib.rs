//! The words that every Scones service shares: who owns a resource, how it is
//! named, when something happened, what an AWS error looks like, which
//! constraint an input broke, and how a page is continued.
//!
//! It never does input or output, and it knows no wire protocol: `scones-aws`
//! turns an [`ApiError`] into JSON, XML or headers, and an HTTP request into a
//! call of a [`JsonService`].

mod arn;
mod constraint;
mod error;
mod identity;
mod page;
mod service;
mod timestamp;

pub use arn::{Arn, ArnError};
pub use constraint::Constraints;
pub use error::ApiError;
pub use identity::{Account, Caller, IdentityError, Owner, Region};
pub use page::{PageToken, page_limit};
#[doc(hidden)]
pub use service::__private;
pub use service::{JsonService, RequestContext};
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};
