//! What every call across a small bridge carries beside its request: how long it may take, and whether its answer is still wanted.

use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells a callee that nobody waits for the answer any more. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises it. It never comes down again.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is raised.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The circumstances of one call. A callee that works long looks at it from time to time and gives up by [`check`](Self::check).
///
/// ```
/// use cofferdam_bridge::call::CallContext;
/// use std::time::Duration;
///
/// let call = CallContext::unbounded().until(Duration::from_secs(5));
/// assert!(call.check(Duration::from_secs(4)).is_ok());
/// assert!(call.check(Duration::from_secs(5)).is_err());
/// call.cancel_flag().cancel();
/// assert!(call.check(Duration::ZERO).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    deadline: Option<Duration>,
    cancel: CancelFlag,
}

impl CallContext {
    /// A call without a deadline.
    pub fn unbounded() -> Self {
        Self::default()
    }

    /// Gives it a deadline: a reading of the host's monotonic clock
    /// ([`ClockBridge::monotonic_clock`](crate::clock::ClockBridge::monotonic_clock)).
    #[must_use]
    pub fn until(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Lets `flag` cancel it.
    #[must_use]
    pub fn cancelled_by(mut self, flag: CancelFlag) -> Self {
        self.cancel = flag;
        self
    }

    /// The reading of the monotonic clock at which an answer is of no use any more.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The flag that cancels it.
    pub fn cancel_flag(&self) -> &CancelFlag {
        &self.cancel
    }

    /// Whether to go on. `now` is the monotonic clock's reading; a callee without a clock passes zero and hears of cancelling only.
    ///
    /// # Errors
    /// `cancelled`, or `deadline_exceeded` from the deadline on.
    pub fn check(&self, now: Duration) -> Result<(), BridgeError> {
        if self.cancel.is_cancelled() {
            return Err(BridgeError::new(ErrorCode::Cancelled, "the caller does not wait for this any more"));
        }
        match self.deadline {
            Some(deadline) if now >= deadline => {
                let message = "the call was not answered in its time; try again with more, or ask for less";
                Err(BridgeError::new(ErrorCode::DeadlineExceeded, message))
            }
            _ => Ok(()),
        }
    }
}
