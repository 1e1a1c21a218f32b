//! Reserved concurrency.

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::Lambda;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutConcurrency {
    function_name: String,
    reserved_concurrent_executions: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneFunction {
    function_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReservedConcurrency {
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_concurrent_executions: Option<u32>,
}

impl Lambda {
    pub(super) async fn put_function_concurrency(
        &self,
        input: PutConcurrency,
        _: &RequestContext,
    ) -> Result<ReservedConcurrency, ApiError> {
        let name = self.unqualified(&input.function_name)?;
        let wish = input.reserved_concurrent_executions;
        Constraints::new()
            .range("reservedConcurrentExecutions", wish, 0, i64::from(u32::MAX))
            .check()?;
        let share = u32::try_from(wish).unwrap_or(u32::MAX);
        self.function(&name, None).await?;
        self.executor.concurrency.check(&name, share)?;
        self.set_concurrency(&name, Some(share)).await
    }

    pub(super) async fn get_function_concurrency(
        &self,
        input: OneFunction,
        _: &RequestContext,
    ) -> Result<ReservedConcurrency, ApiError> {
        let name = self.unqualified(&input.function_name)?;
        Ok(ReservedConcurrency {
            reserved_concurrent_executions: self.function(&name, None).await?.reserved_concurrency,
        })
    }

    pub(super) async fn delete_function_concurrency(
        &self,
        input: OneFunction,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        let name = self.unqualified(&input.function_name)?;
        self.set_concurrency(&name, None).await?;
        Ok(())
    }

    async fn set_concurrency(&self, name: &str, share: Option<u32>) -> Result<ReservedConcurrency, ApiError> {
        self.change(name, |function| {
            function.reserved_concurrency = share;
            Ok(())
        })
        .await?;
        self.executor.concurrency.reserve(name, share);
        Ok(ReservedConcurrency {
            reserved_concurrent_executions: share,
        })
    }
}
