//! Actions over a plane that runs nothing: the order in which things happen, and what is refused before anything does.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

mod staged_plane;

use cofferdam_bridge::audit::FigureSource;
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::StartExecutionRequest;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::prompt::{Prompt, PromptAnswer, PromptReply, Prompter};
use cofferdam_kernel::action::{
    Action, ActionOptions, Actions, JobKeeper, JobRecord, JobsInMemory, Place, Plan, StartedJob, Step, StepEnd,
};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use staged_plane::{Course, StagedPlane};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happened, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A plane that runs nothing: `sleep` runs until it is killed, `false` ends with 1, all else with 0.
fn plane(told: &Told) -> StagedPlane {
    let (starts, kills) = (told.clone(), told.clone());
    let stage = move |request: &StartExecutionRequest, _: &_| {
        starts.add(format!("start {}", request.program));
        Ok(match request.program.as_str() {
            "sleep" => Course::Runs,
            program => Course::Ends(ExitCause::Exited { code: i32::from(program == "false") }),
        })
    };
    let report = |cause| {
        let mut report = staged_plane::bare_report(cause);
        report.usage.tasks = Some(2);
        report
    };
    StagedPlane::new(stage)
        .with(&[Feature::OverlayChanges, Feature::NetworkAllowlist])
        .reporting(report)
        .telling_kills(move || kills.add("kill"))
}

impl FigureSource for Told {
    fn figures(&self) -> BTreeMap<String, u64> {
        self.add("figures");
        BTreeMap::from([("one".to_owned(), 1)])
    }
}

struct Keeper {
    told: Told,
    refuses: bool,
}

impl JobKeeper for Keeper {
    fn started(&self, job: &StartedJob) -> Result<(), BridgeError> {
        self.told.add(format!("started {}", job.action));
        let full = BridgeError::new(ErrorCode::IoFailed, "there is no room");
        if self.refuses { Err(full) } else { Ok(()) }
    }
    fn ended(&self, record: &JobRecord) -> Result<(), BridgeError> {
        let code = record.code.map_or("ok", ErrorCode::as_str);
        self.told.add(format!("ended {code}"));
        Ok(())
    }
}

/// Runs the programs that it is asked for, one after the other.
struct Each {
    told: Told,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Programs {
    programs: Vec<String>,
    #[serde(default)]
    reads: Option<String>,
    #[serde(default)]
    connects: Option<String>,
    #[serde(default)]
    padding: String,
}

#[derive(Serialize, JsonSchema)]
struct Ran {
    programs: usize,
}

impl Action for Each {
    type Arguments = Programs;
    type Output = Ran;
    fn name(&self) -> &str {
        "each"
    }
    fn summary(&self) -> &str {
        "Runs programs."
    }
    fn validate(&self, asked: &Programs) -> Result<(), BridgeError> {
        self.told.add("validate");
        let none = BridgeError::new(ErrorCode::RequestInvalid, "no programs");
        if asked.programs.is_empty() || asked.padding == "x" { Err(none) } else { Ok(()) }
    }
    fn plan(&self, asked: &Programs, place: &Place) -> Result<Plan, BridgeError> {
        let plan = asked.programs.iter().fold(Plan::default(), |plan, program| plan.then(Step::program(program)));
        let plan = match &asked.reads {
            Some(path) => plan.reads(place.resolve(path)?),
            None => plan,
        };
        Ok(match &asked.connects {
            Some(host) => plan.connects(host, 443),
            None => plan,
        })
    }
    fn conclude(&self, _: &Programs, ends: &[StepEnd]) -> Result<Ran, BridgeError> {
        Ok(Ran { programs: ends.len() })
    }
}

fn vm(told: &Told, lines: &str) -> Vm {
    let policy = Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles).unwrap();
    Kernel::builder(plane(told))
        .figures(told.clone())
        .build()
        .unwrap()
        .create_vm(VmSpec::new(policy).workspace("/w"))
        .unwrap()
}

fn actions(told: &Told, refuses: bool) -> Actions {
    let keeper = Arc::new(Keeper { told: told.clone(), refuses });
    Actions::empty().register(Each { told: told.clone() }).unwrap().keeper(keeper)
}

fn programs(names: &[&str]) -> Value {
    json!({ "programs": names })
}

#[tokio::test(start_paused = true)]
async fn r1_figures_then_on_record_then_validated_then_run_then_figures_then_on_record() {
    let told = Told::default();
    let (vm, actions) = (vm(&told, ""), actions(&told, false));
    let result = actions.run(&vm, "each", &programs(&["a", "b"]), &ActionOptions::new()).await.unwrap();
    let order = ["figures", "started each", "validate", "start a", "start b", "figures", "ended ok"];
    assert_eq!(told.take(), order);
    assert_eq!((result.success, result.log_sequence, result.output), (true, None, Some(json!({ "programs": 2 }))));
    assert_eq!((result.processes.started, result.telemetry.before["one"]), (Some(4), 1));
}

#[tokio::test(start_paused = true)]
async fn r1_what_cannot_be_put_on_record_is_not_run() {
    let told = Told::default();
    let (vm, actions) = (vm(&told, ""), actions(&told, true));
    let error = actions.run(&vm, "each", &programs(&["a"]), &ActionOptions::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::IoFailed);
    assert_eq!(told.take(), ["figures", "started each"]);
}

#[tokio::test(start_paused = true)]
async fn r4_every_failure_is_a_result_and_is_put_on_record() {
    let told = Told::default();
    let (vm, actions) = (vm(&told, "[filesystem]\ndeny = [\"/w/secret\"]\n"), actions(&told, false));
    let long = json!({ "programs": ["a"], "padding": "x".repeat(1 << 20) });
    let table = [
        (programs(&[]), "request_invalid", 1),
        (json!({ "programs": [7] }), "request_invalid", 0),
        (json!({ "programs": ["a"], "reads": "secret" }), "denied_by_policy", 1),
        (json!({ "programs": ["a"], "reads": "/elsewhere" }), "denied_by_policy", 1),
        (json!({ "programs": ["a"], "reads": "../x" }), "path_invalid", 1),
        (long, "resource_limit_exceeded", 0),
    ];
    for (arguments, code, validated) in table {
        let result = actions.run(&vm, "each", &arguments, &ActionOptions::new()).await.unwrap();
        assert_eq!(result.error.unwrap().code.as_str(), code);
        assert!(!result.success && result.output.is_none() && result.steps.is_empty());
        let order = told.take();
        assert_eq!(order.iter().filter(|one| *one == "validate").count(), validated, "{order:?}");
        assert_eq!(order.last().unwrap(), &format!("ended {code}"));
        assert!(!order.iter().any(|one| one.starts_with("start ")), "{order:?}");
    }
    let result = actions.run(&vm, "each", &programs(&["a", "false", "b"]), &ActionOptions::new()).await.unwrap();
    assert_eq!(result.error.unwrap().code, ErrorCode::ActionFailed);
    assert!(!told.take().contains(&"start b".to_owned()), "nothing runs after what failed");
    let error = actions.run(&vm, "other", &json!({}), &ActionOptions::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownAction);
}

#[tokio::test(start_paused = true)]
async fn r8_thirty_seconds_hold_for_all_steps_together() {
    let told = Told::default();
    let (vm, actions) = (vm(&told, ""), actions(&told, false));
    let result = actions.run(&vm, "each", &programs(&["sleep", "b"]), &ActionOptions::new()).await.unwrap();
    assert_eq!((result.error.unwrap().code, result.elapsed_ms), (ErrorCode::WallTimeExceeded, 30_000));
    assert!(told.take().contains(&"kill".to_owned()));
    let options = ActionOptions::new().timeout(Duration::from_secs(2));
    let result = actions.run(&vm, "each", &programs(&["sleep"]), &options).await.unwrap();
    assert_eq!(result.elapsed_ms, 2000);
}

#[tokio::test(start_paused = true)]
async fn r7_jobs_in_memory_are_the_latest_and_know_their_session() {
    let told = Told::default();
    let kept = Arc::new(JobsInMemory::new(2));
    let (vm, actions) = (vm(&told, ""), actions(&told, false).keeper(kept.clone()));
    let options = ActionOptions::new().session("s");
    for names in [&["a"][..], &["false"], &[]] {
        actions.run(&vm, "each", &programs(names), &options).await.unwrap();
    }
    actions.run(&vm, "each", &programs(&["a"]), &ActionOptions::new()).await.unwrap();
    let jobs = kept.of_session(Some("s"));
    assert_eq!(jobs.len(), 1, "older ones go");
    assert_eq!((jobs[0].success, jobs[0].code), (false, Some(ErrorCode::RequestInvalid)));
    assert_eq!(kept.of_session(None).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn steps_that_would_not_see_each_other_s_changes_are_refused() {
    let told = Told::default();
    let lines = "[filesystem]\nwrite = [\"{workspace}\"]\nchanges = \"overlay\"\n";
    let (vm, actions) = (vm(&told, lines), actions(&told, false));
    let result = actions.run(&vm, "each", &programs(&["a", "b"]), &ActionOptions::new()).await.unwrap();
    assert_eq!(result.error.unwrap().code, ErrorCode::UnsupportedOperation);
    assert!(!told.take().iter().any(|one| one.starts_with("start ")));
    assert!(actions.run(&vm, "each", &programs(&["a"]), &ActionOptions::new()).await.unwrap().success);
}

#[test]
fn a_name_is_taken_once_and_is_a_name() {
    struct Named(&'static str);
    impl Action for Named {
        type Arguments = Programs;
        type Output = Ran;
        fn name(&self) -> &str {
            self.0
        }
        fn summary(&self) -> &str {
            ""
        }
        fn plan(&self, _: &Programs, _: &Place) -> Result<Plan, BridgeError> {
            Ok(Plan::default())
        }
        fn conclude(&self, _: &Programs, _: &[StepEnd]) -> Result<Ran, BridgeError> {
            Ok(Ran { programs: 0 })
        }
    }
    let one = Actions::empty().register(Named("one")).unwrap();
    assert_eq!(one.clone().register(Named("one")).unwrap_err().code, ErrorCode::AlreadyExists);
    for name in ["", "One", "a b", "../x"] {
        assert_eq!(one.clone().register(Named(name)).unwrap_err().code, ErrorCode::RequestInvalid, "{name}");
    }
}

/// A host that keeps what it is asked, and answers later.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<(Prompt, PromptReply)>>>);

impl Prompter for Later {
    fn ask(&self, prompt: Prompt, reply: PromptReply) {
        self.0.lock().unwrap().push((prompt, reply));
    }
}

/// A VM whose policy says to ask about one host, and whoever is asked.
fn asking(told: &Told) -> (Vm, Later) {
    let host = Later::default();
    let lines = "[network]\nmode = \"allowlist\"\nallow = [\"free.example:443\"]\n[prompt]\nnetwork = [\"asked.example:443\"]\n";
    let policy = Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles).unwrap();
    let kernel = Kernel::builder(plane(told)).prompter(host.clone()).prompt_limit(Duration::from_secs(60)).build();
    (kernel.unwrap().create_vm(VmSpec::new(policy).workspace("/w")).unwrap(), host)
}

fn connecting(host: &str) -> Value {
    json!({ "programs": ["a"], "connects": host })
}

#[tokio::test(start_paused = true)]
async fn r10_what_the_policy_says_to_ask_is_asked_and_holds_up_that_action_alone() {
    let told = Told::default();
    let ((vm, host), actions, options) = (asking(&told), actions(&told, false), ActionOptions::new());
    for (answer, code) in [(PromptAnswer::once(), None), (PromptAnswer::Deny, Some(ErrorCode::DeniedByPolicy))] {
        let (one, other) = (connecting("asked.example"), connecting("free.example"));
        let asked = actions.run(&vm, "each", &one, &options);
        let answering = async {
            while host.0.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            // While one waits, another is asked nothing and goes through.
            assert!(actions.run(&vm, "each", &other, &options).await.unwrap().success);
            assert_eq!(told.take().iter().filter(|one| *one == "start a").count(), 1);
            let (prompt, reply) = host.0.lock().unwrap().pop().unwrap();
            assert_eq!(prompt.question.subject, "asked.example:443");
            reply.answer(answer).unwrap();
        };
        let (result, ()) = tokio::join!(asked, answering);
        let result = result.unwrap();
        assert_eq!((result.success, result.error.as_ref().map(|error| error.code)), (code.is_none(), code));
        assert_eq!(told.take().contains(&"start a".to_owned()), code.is_none());
        if let Some(error) = result.error {
            let denial = error.denial().unwrap();
            assert_eq!(denial.note.as_deref(), Some("the host was asked and said no"));
            assert!(denial.rule.unwrap().text.contains("asked.example"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r8_an_action_that_nobody_answers_ends_with_its_time_and_takes_its_question_back() {
    let told = Told::default();
    let ((vm, host), actions) = (asking(&told), actions(&told, false));
    for (timeout, elapsed) in [(5_u64, 5_000), (100, 60_000)] {
        let options = ActionOptions::new().timeout(Duration::from_secs(timeout));
        let result = actions.run(&vm, "each", &connecting("asked.example"), &options).await.unwrap();
        let error = result.error.unwrap();
        assert_eq!((error.code, result.elapsed_ms), (ErrorCode::DeniedByPolicy, elapsed));
        assert!(error.denial().unwrap().note.unwrap().contains("did not answer in time"));
        assert!(host.0.lock().unwrap().drain(..).all(|(_, reply)| !reply.is_wanted()));
        assert!(!told.take().iter().any(|one| one.starts_with("start ")), "nothing was run");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_an_action_that_is_refused_anyway_and_a_dry_run_asks_nothing() {
    let told = Told::default();
    let ((vm, host), actions) = (asking(&told), actions(&told, false));
    let arguments = json!({ "programs": ["a"], "connects": "asked.example", "reads": "/elsewhere" });
    let result = actions.run(&vm, "each", &arguments, &ActionOptions::new()).await.unwrap();
    assert_eq!(result.error.unwrap().denial().unwrap().access, "filesystem.read");
    let dry = actions.dry_run(&vm, "each", &connecting("asked.example")).unwrap();
    assert!(dry.would_run && dry.would_ask && dry.refusal.is_none(), "{dry:?}");
    assert!(!actions.dry_run(&vm, "each", &connecting("free.example")).unwrap().would_ask);
    assert!(!actions.dry_run(&vm, "each", &connecting("other.example")).unwrap().would_run);
    assert!(host.0.lock().unwrap().is_empty());
}
