//! The account's limits and use.

use scones_api::{ApiError, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    Lambda,
    limits::{UNZIPPED_BYTES_MAX, ZIPPED_BYTES_MAX},
};

/// AWS's quota for all packages of an account (75 GB), which is not enforced
/// here: the disk is the user's.
const TOTAL_CODE_BYTES: u64 = 80_530_636_800;

#[derive(Deserialize)]
pub struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountSettings {
    account_limit: AccountLimit,
    account_usage: AccountUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    total_code_size: u64,
    code_size_unzipped: u64,
    code_size_zipped: u64,
    concurrent_executions: u32,
    unreserved_concurrent_executions: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountUsage {
    total_code_size: u64,
    function_count: u64,
}

impl Lambda {
    pub(super) async fn get_account_settings(
        &self,
        _: Nothing,
        _: &RequestContext,
    ) -> Result<AccountSettings, ApiError> {
        let functions = self.functions.all("").await?;
        let codes = functions.iter().flat_map(|(_, function)| function.codes());
        let concurrency = &self.executor.concurrency;
        Ok(AccountSettings {
            account_limit: AccountLimit {
                total_code_size: TOTAL_CODE_BYTES,
                code_size_unzipped: UNZIPPED_BYTES_MAX,
                code_size_zipped: ZIPPED_BYTES_MAX as u64,
                concurrent_executions: concurrency.limit(),
                unreserved_concurrent_executions: concurrency.unreserved(),
            },
            account_usage: AccountUsage {
                total_code_size: codes.map(|code| code.size).sum(),
                function_count: functions.len() as u64,
            },
        })
    }
}
