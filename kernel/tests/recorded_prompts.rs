//! What is recorded of questions to the host: that they are put, what they come to, and what is granted by them; and that a yes that cannot be
//! recorded is none.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod staged_plane;

use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::GrantId;
use cofferdam_bridge::in_memory::{DiskFault, ManualClock, MemoryAudit};
use cofferdam_bridge::prompt::{
    Grant, GrantStore, Prompt, PromptAccess, PromptAnswer, PromptOutcome, PromptQuestion, PromptReply, Prompter,
    Remember,
};
use cofferdam_bridge::verdict::{RuleRef, Verdict};
use cofferdam_kernel::audit::{About, AuditSettings, Durability, Event, Filter, Reader, Record, Recorder, Verifier};
use cofferdam_kernel::policy::{Access, NoFiles, Policy};
use cofferdam_kernel::{Execution, Kernel, KernelBuilder, Vm, VmSpec};
use staged_plane::{Course, Sink, StagedPlane};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A host that keeps what it is asked, and answers later.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<(Prompt, PromptReply)>>>);

impl Prompter for Later {
    fn ask(&self, prompt: Prompt, reply: PromptReply) {
        self.0.lock().unwrap().push((prompt, reply));
    }
    fn name(&self) -> &str {
        "dialogue"
    }
}

impl Later {
    async fn next(&self) -> (Prompt, PromptReply) {
        loop {
            // What was settled meanwhile stays with whoever was asked.
            if let Some(asked) = self.0.lock().unwrap().pop().filter(|(_, reply)| reply.is_wanted()) {
                return asked;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A store in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Grant>>>);

impl GrantStore for Kept {
    fn grants(&self) -> Result<Vec<Grant>, BridgeError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn add(&self, mut grant: Grant, _: Option<u64>) -> Result<Grant, BridgeError> {
        grant.id = GrantId::new("always-1");
        self.0.lock().unwrap().push(grant.clone());
        Ok(grant)
    }
    fn revoke(&self, id: &GrantId) -> Result<bool, BridgeError> {
        self.0.lock().unwrap().retain(|grant| grant.id != *id);
        Ok(true)
    }
}

/// A VM that asks about `/p`, its host, its log, and the sinks of what runs in it.
struct Stage {
    vm: Vm,
    host: Later,
    store: MemoryAudit,
    recorder: Recorder,
    kept: Kept,
    sinks: Arc<Mutex<Vec<Sink>>>,
    outcomes: Arc<Mutex<Vec<PromptOutcome>>>,
}

impl Stage {
    fn new(remember: &str, build: impl FnOnce(KernelBuilder) -> KernelBuilder) -> Self {
        let (host, store, kept) = (Later::default(), MemoryAudit::new(), Kept::default());
        let sinks: Arc<Mutex<Vec<Sink>>> = Arc::default();
        let own = sinks.clone();
        let plane = StagedPlane::new(move |_, sink| {
            own.lock().unwrap().push(sink.clone());
            Ok(Course::Runs)
        });
        let recorder = Recorder::open(store.clone(), ManualClock::default(), AuditSettings::new());
        let builder =
            Kernel::builder(plane.with(&[Feature::Prompts, Feature::FilesystemRules])).audit(recorder.clone());
        let builder = builder.prompter(host.clone()).prompt_limit(LIMIT).grants(kept.clone());
        let text = format!("version = 1\n[prompt]\nfilesystem.write = [\"/p\"]\nremember = \"{remember}\"\n");
        let policy = Policy::parse(&text, "test", &NoFiles).unwrap();
        let spec = VmSpec::new(policy).workspace("/w").session("build");
        let vm = build(builder).build().unwrap().create_vm(spec).unwrap();
        Self { vm, host, store, recorder, kept, sinks, outcomes: Arc::default() }
    }

    async fn start(&self) -> Execution {
        self.vm.command("tool").spawn().await.unwrap()
    }

    /// The newest run asks, as its plane has it ask, and its ticket is kept until `self.outcomes` has what it came to.
    fn ask(&self, subject: &str) -> cofferdam_bridge::prompt::PromptTicket {
        let rule = RuleRef::new("test", None, "prompt.filesystem.write \"/p\"");
        let outcomes = self.outcomes.clone();
        let sink = self.sinks.lock().unwrap().last().unwrap().clone();
        let question = PromptQuestion::new(PromptAccess::Write, subject, rule);
        sink.ask(question, Box::new(move |outcome| outcomes.lock().unwrap().push(outcome)))
    }

    fn outcomes(&self) -> Vec<PromptOutcome> {
        self.outcomes.lock().unwrap().clone()
    }

    /// All records that tell of questions. The log must be whole.
    fn records(&self) -> Vec<Record> {
        // Behind all that nobody waited for.
        self.recorder.record(About::kernel(), Event::note("n", ""), Durability::Written).wait().unwrap();
        let mut verifier = Verifier::new();
        self.store.contents().iter().for_each(|(first, bytes)| verifier.segment(*first, bytes));
        assert_eq!(verifier.finish().faults, []);
        let (mut reader, mut all) = (Reader::new(&self.store), Vec::new());
        loop {
            match reader.more().unwrap() {
                some if some.is_empty() => break,
                some => all.extend(some.into_iter().map(|read| read.record.unwrap())),
            }
        }
        let kinds = ["prompted", "answered", "granted", "grant_used", "revoked"];
        all.into_iter().filter(|record| kinds.contains(&record.event.kind())).collect()
    }
}

fn kinds(records: &[Record]) -> Vec<&'static str> {
    records.iter().map(|record| record.event.kind()).collect()
}

fn answered(record: &Record) -> &cofferdam_kernel::audit::Answered {
    match &record.event {
        Event::Answered(answered) => answered,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_its_answer_and_what_is_granted_by_it_are_recorded_in_their_order() {
    let stage = Stage::new("session", |builder| builder);
    let run = stage.start().await;
    let _tickets = [stage.ask("/p/a"), stage.ask("/p/a")];
    let (_, reply) = stage.host.next().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    reply.answer(PromptAnswer::Allow { remember: Remember::Always, expires_ms: Some(9_000) }).unwrap();
    assert_eq!(stage.outcomes(), [PromptOutcome::Allowed; 2]);
    let records = stage.records();
    assert_eq!(kinds(&records), ["prompted", "answered", "granted"], "on record before anybody goes on");
    for record in &records {
        assert_eq!(record.execution.as_ref().map(|id| id.as_str()), Some("vm-1-run-1"));
        assert_eq!((record.vm.is_some(), record.session.as_deref()), (true, Some("build")));
    }
    let Event::Prompted(asked) = &records[0].event else { panic!() };
    assert_eq!((asked.access.as_str(), asked.subject.as_str()), ("filesystem.write", "/p/a"));
    assert_eq!((asked.timeout_ms, asked.remember), (60_000, Remember::Session));
    assert!(asked.rule.as_ref().unwrap().text.contains("/p"));
    let told = answered(&records[1]);
    assert_eq!((told.prompt.as_str(), told.by.as_str(), told.verdict), (&*asked.prompt, "dialogue", Verdict::Allow));
    assert_eq!((told.waited_ms, told.requests, told.lasts), (1500, 2, Some(Remember::Session)));
    let Event::Granted(granted) = &records[2].event else { panic!() };
    assert_eq!((granted.expires_ms, granted.lasts), (Some(9_000), Remember::Session));
    assert_eq!((granted.prompt.as_str(), granted.workspace.as_deref()), (&*asked.prompt, Some("/w")));
    drop(run);
}

#[tokio::test(start_paused = true)]
async fn each_run_that_uses_a_grant_has_that_on_record_once_and_revoking_is_recorded() {
    let stage = Stage::new("session", |builder| builder);
    let first = stage.start().await;
    let _ticket = stage.ask("/p/a");
    stage.host.next().await.1.answer(PromptAnswer::session()).unwrap();
    for subject in ["/p/a", "/p/a/b", "/p/a/c"] {
        drop(stage.ask(subject));
    }
    let second = stage.start().await;
    drop(stage.ask("/p/a/d"));
    assert_eq!(stage.outcomes()[1..], [PromptOutcome::Granted; 4]);
    let grant = stage.vm.grants().remove(0);
    assert!(stage.vm.revoke(&grant.id));
    drop((first, second));
    let records = stage.records();
    assert_eq!(kinds(&records), ["prompted", "answered", "granted", "grant_used", "grant_used", "revoked"]);
    let used: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::GrantUsed(used) => Some((record.execution.clone().unwrap().to_string(), used.subject.clone())),
            _ => None,
        })
        .collect();
    let expected =
        [("vm-1-run-1", "/p/a"), ("vm-1-run-2", "/p/a/d")].map(|(run, path)| (run.to_owned(), path.to_owned()));
    assert_eq!(used, expected);
    let Event::Revoked(revoked) = &records[5].event else { panic!() };
    assert_eq!((revoked.grant.as_str(), revoked.why.as_str()), (grant.id.as_str(), "revoked"));
}

#[tokio::test(start_paused = true)]
async fn a_no_a_time_that_is_up_a_question_that_is_taken_back_and_one_that_a_grant_answers_are_told_apart() {
    let stage = Stage::new("session", |builder| builder);
    let run = stage.start().await;
    let _no = stage.ask("/p/no");
    stage.host.next().await.1.answer(PromptAnswer::Deny).unwrap();
    let _late = stage.ask("/p/late");
    tokio::time::sleep(LIMIT + Duration::from_millis(1)).await;
    drop(stage.ask("/p/back"));
    let _covering = stage.ask("/p/d");
    let (_, reply) = stage.host.next().await;
    let _covered = stage.ask("/p/d/e");
    reply.answer(PromptAnswer::session()).unwrap();
    let _ended = stage.ask("/p/ended");
    // What the same run asks again is not put again, and is no second question.
    drop(stage.ask("/p/no"));
    drop(run);
    for sink in stage.sinks.lock().unwrap().drain(..) {
        let report = staged_plane::bare_report(ExitCause::Killed);
        sink.push(ExecutionEvent::Exited(Box::new(report)));
    }
    let records = stage.records();
    let told: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Answered(told) => Some((told.subject.as_str(), told.by.as_str(), told.verdict)),
            _ => None,
        })
        .collect();
    let (yes, no) = (Verdict::Allow, Verdict::Deny);
    let expected = [
        ("/p/no", "dialogue", no),
        ("/p/late", "time_limit", no),
        ("/p/back", "cancelled", no),
        ("/p/d", "dialogue", yes),
        ("/p/d/e", "grant", yes),
        ("/p/ended", "cancelled", no),
    ];
    assert_eq!(told, expected);
    assert_eq!(records.iter().filter(|record| record.event.kind() == "prompted").count(), 6, "each has both");
    let mut filter = Filter::default();
    (filter.verdict, filter.path) = (Some(no), Some("/p/late".to_owned()));
    assert_eq!(records.iter().filter(|record| filter.matches(record)).count(), 1, "found by verdict and path");
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_cannot_be_recorded_is_a_no_and_is_not_remembered() {
    for remember in [PromptAnswer::once(), PromptAnswer::session(), PromptAnswer::always()] {
        let stage = Stage::new("always", |builder| builder);
        let _run = stage.start().await;
        let _ticket = stage.ask("/p/a");
        let (_, reply) = stage.host.next().await;
        stage.store.fault(DiskFault::ReadOnly);
        let error = reply.answer(remember).unwrap_err();
        assert_eq!(error.code.as_str(), "audit_unavailable");
        assert_eq!(stage.outcomes(), [PromptOutcome::Unrecorded]);
        assert!(stage.vm.grants().is_empty() && stage.kept.0.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_cannot_be_recorded_does_not_come_to_hold() {
    for (answer, lasts) in [(PromptAnswer::session(), "session"), (PromptAnswer::always(), "always")] {
        let stage = Stage::new("always", |builder| builder);
        let _run = stage.start().await;
        // Room for the question and its answer, and for no grant.
        let room = {
            let probe = Stage::new("always", |builder| builder);
            let _run = probe.start().await;
            let before: usize = probe.store.contents().values().map(Vec::len).sum();
            let _ticket = probe.ask("/p/a");
            probe.host.next().await.1.answer(PromptAnswer::once()).unwrap();
            probe.store.contents().values().map(Vec::len).sum::<usize>() - before
        };
        stage.store.fault(DiskFault::Room(room as u64 + 32));
        let _ticket = stage.ask("/p/a");
        let error = stage.host.next().await.1.answer(answer).unwrap_err();
        assert_eq!(
            (error.code.as_str(), stage.outcomes()),
            ("audit_unavailable", vec![PromptOutcome::Allowed]),
            "{lasts}"
        );
        assert!(stage.vm.grants().is_empty() && stage.kept.0.lock().unwrap().is_empty(), "{lasts}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_use_cannot_be_recorded_allows_nothing() {
    let stage = Stage::new("session", |builder| builder);
    let _run = stage.start().await;
    let _ticket = stage.ask("/p/a");
    stage.host.next().await.1.answer(PromptAnswer::session()).unwrap();
    stage.store.fault(DiskFault::ReadOnly);
    drop(stage.ask("/p/a/b"));
    stage.store.fault(DiskFault::None);
    drop(stage.ask("/p/a/b"));
    assert_eq!(stage.outcomes()[1..], [PromptOutcome::Unrecorded, PromptOutcome::Granted]);
}

#[tokio::test(start_paused = true)]
async fn the_host_may_let_be_what_cannot_be_recorded_in_so_many_words() {
    let stage = Stage::new("session", KernelBuilder::run_even_what_cannot_be_recorded);
    let _run = stage.start().await;
    let _ticket = stage.ask("/p/a");
    let (_, reply) = stage.host.next().await;
    stage.store.fault(DiskFault::ReadOnly);
    reply.answer(PromptAnswer::session()).unwrap();
    assert_eq!((stage.outcomes(), stage.vm.grants().len()), (vec![PromptOutcome::Allowed], 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_host_itself_asks_names_the_vm_alone_and_who_answered() {
    let stage = Stage::new("session", |builder| builder);
    let access = Access::Write("/p/a".to_owned());
    let (decision, ()) = tokio::join!(stage.vm.permit(&access), async {
        stage.host.next().await.1.answer(PromptAnswer::once()).unwrap();
    });
    assert_eq!(decision.unwrap().verdict, Verdict::Allow);
    let records = stage.records();
    assert_eq!(kinds(&records), ["prompted", "answered"]);
    assert!(records.iter().all(|record| record.execution.is_none() && record.vm.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_asks_on_and_on_fills_neither_the_log_nor_the_host_s_patience() {
    let stage = Stage::new("once", |builder| builder);
    let _run = stage.start().await;
    let most = 8192;
    for number in 0..most + 100 {
        drop(stage.ask(&format!("/p/{number}")));
    }
    let full = stage.outcomes().iter().filter(|outcome| **outcome == PromptOutcome::QueueFull).count();
    assert_eq!((full, stage.outcomes().len()), (100, most + 100));
    let records = stage.records();
    assert_eq!(records.iter().filter(|record| record.event.kind() == "prompted").count(), most);
}
