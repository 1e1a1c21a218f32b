//! The limits of IAM and STS
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
//! and each operation's own page).

/// Characters in the name of a role.
pub(crate) const ROLE_NAME_MAX: usize = 64;
/// Characters in the name of a role's inline policy.
pub(crate) const POLICY_NAME_MAX: usize = 128;
/// Characters in a path.
pub(crate) const PATH_MAX: usize = 512;
/// Characters in a role's description.
pub(crate) const DESCRIPTION_MAX: usize = 1000;
/// Characters in a trust policy.
pub(crate) const TRUST_POLICY_MAX: usize = 2048;
/// Characters in the inline policies of a role together, spaces not counted.
pub(crate) const INLINE_POLICIES_MAX: usize = 10_240;
/// Managed policies attached to a role.
pub(crate) const ATTACHED_POLICIES_MAX: usize = 10;
/// Tags on a role.
pub(crate) const TAGS_MAX: usize = 50;
/// Roles in an account.
pub(crate) const ROLES_MAX: usize = 1000;
/// Items on a page, unless the request says otherwise.
pub(crate) const PAGE_DEFAULT: usize = 100;
/// Items on a page at most.
pub(crate) const PAGE_MAX: usize = 1000;
/// Actions times resources in one simulation. AWS publishes no number.
pub(crate) const SIMULATIONS_MAX: usize = 10_000;
/// Seconds that a session lasts, at least.
pub(crate) const SESSION_SECONDS_MIN: i64 = 900;
/// Seconds that a role's session lasts, unless the request says otherwise.
pub(crate) const ROLE_SESSION_SECONDS_DEFAULT: i64 = 3600;
/// Seconds that a role's sessions may be allowed to last.
pub(crate) const ROLE_SESSION_SECONDS_MAX: i64 = 43_200;
/// Seconds that `GetSessionToken`'s session lasts, unless the request says otherwise.
pub(crate) const SESSION_TOKEN_SECONDS_DEFAULT: i64 = 43_200;
/// Seconds that `GetSessionToken`'s session lasts at most.
pub(crate) const SESSION_TOKEN_SECONDS_MAX: i64 = 129_600;
/// Sessions that have not expired, so that they fit in memory. AWS has no such limit.
pub(crate) const SESSIONS_MAX: usize = 100_000;
