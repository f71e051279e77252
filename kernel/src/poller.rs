//! Carries the events of a plane that has no push side.

use crate::kernel::Plane;
use crate::queue::EventQueue;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::usage::Usage;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Shortest and longest pause between two questions that found nothing.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

/// Asks `plane` for the events of `execution` until the last, on threads that may wait.
pub(crate) fn start(runtime: &Handle, plane: Plane, execution: ExecutionRef, queue: Arc<EventQueue>) {
    runtime.spawn(async move {
        let mut pause = SHORTEST;
        loop {
            let (asked, about, into) = (plane.clone(), execution.clone(), queue.clone());
            match tokio::task::spawn_blocking(move || advance(&asked, &about, &into)).await {
                Ok(Advance::Some) => pause = SHORTEST,
                Ok(Advance::Nothing) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
                Ok(Advance::Ended) | Err(_) => return,
            }
        }
    });
}

enum Advance {
    Some,
    Nothing,
    Ended,
}

fn advance(plane: &Plane, execution: &ExecutionRef, queue: &EventQueue) -> Advance {
    match plane.poll_execution_event(execution) {
        Ok(Some(event)) => {
            let last = matches!(event, ExecutionEvent::Exited(_));
            // Of a run that is recorded the end is wanted whether or not anybody reads.
            let wanted = queue.push(event) || queue.record().is_some();
            if wanted && !last { Advance::Some } else { Advance::Ended }
        }
        Ok(None) => Advance::Nothing,
        Err(error) => {
            let _ = plane.kill_execution(execution, ExecutionSignal::Kill);
            queue.push(ExecutionEvent::Exited(Box::new(failed(error))));
            Advance::Ended
        }
    }
}

/// The end of a run whose plane does not tell it. What held is not known, so nothing is claimed.
fn failed(error: BridgeError) -> ExecutionReport {
    ExecutionReport::new(ExitCause::PlaneFault { error }, Usage::default(), Enforcement::new(Tier::None))
}
