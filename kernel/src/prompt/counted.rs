//! What a host's sink is told of questions that wait.

use super::PromptDesk;
use super::tests::{LIMIT, Later, Outcomes, asker, runtime};
use crate::recording::Recording;
use cofferdam_bridge::in_memory::MemoryMetrics;
use cofferdam_bridge::metric::{Attributes, Instrument, MetricSink};
use cofferdam_bridge::prompt::{PromptAnswer, PromptOutcome, Remember};
use cofferdam_bridge::trace_context::{TraceContext, TraceSource};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

#[test]
fn questions_that_wait_are_counted_and_timed() {
    let (prompter, outcomes, metrics) = (Later::default(), Outcomes::default(), MemoryMetrics::new());
    let mut recording = Recording::default();
    recording.listeners.metrics = Some(Arc::new(metrics.clone()));
    let desk = PromptDesk::new(Some(Arc::new(prompter.clone())), None, LIMIT, recording);
    let pending = "cofferdam.prompt.pending{cofferdam.access=filesystem.write}";
    runtime().block_on(async {
        let ask = |number, subject| outcomes.ask(&desk, number, &asker(1, 1, Remember::Once), subject);
        let tickets = [ask(1, "/a"), ask(2, "/b"), ask(3, "/a")];
        assert_eq!(metrics.sum(pending), 2, "the same question waits once");
        while prompter.0.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        let (_, reply) = prompter.0.lock().unwrap().remove(0);
        reply.answer(PromptAnswer::Deny).unwrap();
        assert_eq!(metrics.sum(pending), 1);
        tokio::time::sleep(LIMIT * 2).await;
        assert_eq!((metrics.sum(pending), outcomes.of(2)), (0, Some(PromptOutcome::TimedOut)));
        drop(tickets);
    });
    let asked = "cofferdam.decisions{cofferdam.access=filesystem.write,cofferdam.verdict=prompt}";
    assert_eq!(metrics.sum(asked), 3);
    let took = |outcome: &str| {
        let attributes = format!("cofferdam.access=filesystem.write,cofferdam.outcome={outcome}");
        metrics.values(&format!("cofferdam.prompt.duration{{{attributes}}}"))
    };
    assert_eq!((took("denied"), took("timed_out")), (vec![0.0], vec![LIMIT.as_secs_f64()]));
}

/// A sink that asks the desk what waits whenever it is told something.
#[derive(Clone, Default)]
struct Looks {
    desk: Arc<Mutex<Weak<PromptDesk>>>,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Looks {
    fn look(&self) {
        let desk = self.desk.lock().unwrap().upgrade();
        if let Some(desk) = desk {
            self.seen.lock().unwrap().push(desk.prompts().len());
        }
    }
}

impl MetricSink for Looks {
    fn add(&self, _: &'static Instrument, _: i64, _: Attributes<'_>) {
        self.look();
    }

    fn observe(&self, _: &'static Instrument, _: f64, _: Attributes<'_>) {
        self.look();
    }
}

impl TraceSource for Looks {
    fn current(&self) -> Option<TraceContext> {
        self.look();
        None
    }
}

#[test]
fn a_sink_that_asks_the_kernel_something_is_answered() {
    let (done, ended) = mpsc::channel();
    // A lock that is held would hold it for ever: it is a thread of its own that would be stuck.
    std::thread::spawn(move || {
        let (prompter, outcomes, looks) = (Later::default(), Outcomes::default(), Looks::default());
        let mut recording = Recording::default();
        recording.listeners.metrics = Some(Arc::new(looks.clone()));
        recording.listeners.traces = Some(Arc::new(looks.clone()));
        let desk = PromptDesk::new(Some(Arc::new(prompter.clone())), None, LIMIT, recording);
        *looks.desk.lock().unwrap() = Arc::downgrade(&desk);
        runtime().block_on(async {
            let ask = |number, subject| outcomes.ask(&desk, number, &asker(1, 1, Remember::Once), subject);
            let tickets = [ask(1, "/a"), ask(2, "/b")];
            while prompter.0.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
            let (_, reply) = prompter.0.lock().unwrap().remove(0);
            reply.answer(PromptAnswer::once()).unwrap();
            drop(tickets);
        });
        done.send(looks.seen.lock().unwrap().iter().max().copied()).unwrap();
    });
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(Some(2)), "it saw both questions while they waited");
}
