//! What a start waits for, as spans and figures: its turn, and the audit log.

use super::TARGET;
use super::instruments::{COMMIT_DURATION, QUEUE_DURATION, QUEUE_LENGTH};
use super::listeners::Listeners;
use cofferdam_bridge::error::BridgeError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use tokio::time::Instant;
use tracing::Instrument as _;

/// One more waits, until this is dropped: whoever waits may stop to.
struct Queued<'a>(&'a Listeners);

impl<'a> Queued<'a> {
    fn one(listeners: &'a Listeners) -> Self {
        listeners.add(&QUEUE_LENGTH, 1, &[]);
        Self(listeners)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.add(&QUEUE_LENGTH, -1, &[]);
    }
}

fn outcome<T>(outcome: &Result<T, BridgeError>, good: &'static str) -> &'static str {
    outcome.as_ref().map_or_else(|error| error.code.as_str(), |_| good)
}

/// Waits for a turn.
pub(crate) async fn queueing<T>(
    listeners: &Listeners,
    turn: impl Future<Output = Result<T, BridgeError>>,
) -> Result<T, BridgeError> {
    let began = Instant::now();
    let mut turn = pin!(turn.instrument(tracing::info_span!(target: TARGET, "cofferdam.guard.queue")));
    // Only who is not let through at once stands in the queue.
    let given = match poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await {
        Poll::Ready(given) => given,
        Poll::Pending => {
            let _queued = Queued::one(listeners);
            turn.await
        }
    };
    listeners.took(&QUEUE_DURATION, began.elapsed(), &[("cofferdam.outcome", outcome(&given, "admitted"))]);
    given
}

/// Waits until a record is on disk.
pub(crate) async fn committing<T>(
    listeners: &Listeners,
    record: impl Future<Output = Result<T, BridgeError>>,
) -> Result<T, BridgeError> {
    let began = Instant::now();
    let recorded = record.instrument(tracing::info_span!(target: TARGET, "cofferdam.audit.commit")).await;
    listeners.took(&COMMIT_DURATION, began.elapsed(), &[("cofferdam.outcome", outcome(&recorded, "recorded"))]);
    recorded
}
