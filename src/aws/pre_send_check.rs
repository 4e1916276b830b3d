//! Asks right before a request leaves whether it still may: all that comes before it takes time, in
//! which a lease can be lost.

use std::{fmt, sync::Arc};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

/// A question that goes with a write, asked before each attempt, after the request is signed.
#[derive(Clone)]
pub struct PreSendCheck(Arc<dyn Fn() -> bool + Send + Sync>);

impl PreSendCheck {
    /// A permit for as long as `asked` answers true.
    pub fn new(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }
}

impl fmt::Debug for PreSendCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSendCheck")
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for PreSendCheck {
    fn name(&self) -> &'static str {
        "PreSendCheck"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match (self.0)() {
            true => Ok(()),
            false => Err("the request may not be sent any more".into()),
        }
    }
}
