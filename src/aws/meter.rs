//! Counts the requests that really go out, by operation: the report's `api_calls` and the metrics
//! come from here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

/// Calls and failed calls by operation name, since the process started.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

/// A reading of the [`Meter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub calls: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
}

impl Meter {
    /// The counts up to now.
    pub fn read(&self) -> Counts {
        self.lock().clone()
    }

    /// The calls made since an earlier reading; operations without any are left out.
    pub fn since(&self, earlier: &Counts) -> BTreeMap<String, u64> {
        let now = self.lock();
        let new = now
            .calls
            .iter()
            .map(|(name, n)| (name.clone(), n - earlier.calls.get(name).unwrap_or(&0)));
        new.filter(|(_, n)| *n > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, cfg: &ConfigBag) {
    let Some(operation) = cfg.load::<Metadata>() else {
        return;
    };
    match counts.get_mut(operation.name()) {
        Some(count) => *count += 1,
        None => {
            counts.insert(operation.name().to_owned(), 1);
        }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bump(&mut self.lock().calls, cfg);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if matches!(context.output_or_error(), Some(Err(_))) {
            bump(&mut self.lock().errors, cfg);
        }
        Ok(())
    }
}
