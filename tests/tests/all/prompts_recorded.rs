//! Questions, answers and grants in the audit log: asked inside a sandbox and at a terminal, found by `cofferdam audit`.

use super::prompts_terminal::{Desk, WRITE};
use cofferdam_bridge::prompt::PromptAnswer;
use cofferdam_kernel::audit::{AuditSettings, Recorder};
use cofferdam_plane_kit::host::{HostAudit, HostClock};
use cofferdam_tests::command::{cofferdam, text};
use cofferdam_tests::prompted::Prompted;
use cofferdam_tests::pseudo_terminal;
use serde_json::Value;
use std::path::Path;

/// What `audit query` finds in the log at `place`.
fn query(place: &Path, conditions: &[&str]) -> Vec<Value> {
    let mut command = cofferdam();
    let output = command.args(["audit", "query", "--json", "--log"]).arg(place).args(conditions).output().unwrap();
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_whole(place: &Path) {
    let output = cofferdam().args(["audit", "verify", "--log"]).arg(place).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn what_a_sandbox_asks_its_answers_and_the_use_of_grants_are_recorded_with_the_run() {
    let lines = "[prompt]\nfilesystem.write = [\"{place}/asked/**\"]\n";
    let recorded = |place: &cofferdam_tests::scratch::Scratch, kernel: cofferdam_kernel::KernelBuilder| {
        let log = HostAudit::open(place.path().canonicalize().unwrap().join("log")).unwrap();
        kernel.audit(Recorder::open(log, HostClock::new(), AuditSettings::new()))
    };
    let host = Prompted::built(lines, recorded, |policy| policy);
    let (log, write) = (host.path("log"), "echo new >> $P/asked/file");
    assert!(!host.answered(write, PromptAnswer::Deny).0.success());
    assert!(host.answered(write, PromptAnswer::session()).0.success());
    // The log tells of the yes although the kernel still runs: it was there before the file was changed.
    let file = host.path("asked/file").to_string_lossy().into_owned();
    let answered = query(&log, &["--kind", "answered", "--path", &file]);
    let told: Vec<_> = answered.iter().map(|one| one["event"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(told, ["denied", "allowed"]);
    let prompted = query(&log, &["--kind", "prompted", "--verdict", "prompt"]);
    assert_eq!(prompted[1]["event"]["prompt"], answered[1]["event"]["prompt"]);
    assert!(prompted[1]["event"]["rule"]["text"].as_str().unwrap().contains("asked"), "{prompted:?}");
    assert!(answered[1]["event"]["waited_ms"].is_u64() && answered[1]["execution"].is_string(), "{answered:?}");
    let granted = query(&log, &["--kind", "granted"]);
    assert_eq!((granted.len(), granted[0]["event"]["lasts"].as_str()), (1, Some("session")), "{granted:?}");
    // Used by a later run, as often as it likes, and told once.
    assert!(host.answered("for i in 1 2 3; do echo new >> $P/asked/file; done", PromptAnswer::Deny).0.success());
    let used = query(&log, &["--kind", "grant_used"]);
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(used[0]["event"]["grant"], granted[0]["event"]["grant"]);
    assert_ne!(used[0]["execution"], granted[0]["execution"]);
    assert!(host.vm.revoke(&host.vm.grants()[0].id));
    assert!(!host.answered(write, PromptAnswer::Deny).0.success());
    assert_eq!(query(&log, &["--kind", "revoked"])[0]["event"]["grant"], granted[0]["event"]["grant"]);
    assert_whole(&log);
}

#[test]
fn an_answer_typed_at_the_terminal_and_a_grant_that_is_revoked_there_are_recorded() {
    let desk = Desk::new("always");
    let log = desk.path("log");
    let place = format!("COFFERDAM_AUDIT={}", log.display());
    let mut line = desk.line(&[], WRITE);
    line.insert(1, place);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let steps = "[(b'allow? ', b'always\\r'), (b'said-2', b'')]";
    let Some(seen) = pseudo_terminal::drive(&desk.place, steps, &line) else { return };
    assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "new\n"));
    let answered = query(&log, &["--kind", "answered", "--verdict", "allow"]);
    let event = &answered[0]["event"];
    assert_eq!((event["by"].as_str(), event["lasts"].as_str()), (Some("terminal"), Some("always")), "{answered:?}");
    let granted = query(&log, &["--kind", "granted"]).remove(0);
    let id = granted["event"]["grant"].as_str().unwrap();
    let mut revoke = cofferdam();
    revoke.args(["grants", "revoke", id]).env("COFFERDAM_AUDIT", &log).env("XDG_STATE_HOME", desk.path("state"));
    assert_eq!(text(&revoke.output().unwrap().stdout), format!("Revoked {id}\n"));
    let revoked = query(&log, &["--kind", "revoked"]);
    assert_eq!((&revoked[0]["event"]["grant"], &revoked[0]["event"]["why"]), (&id.into(), &"revoked".into()));
    assert_whole(&log);
    // As a table, too.
    let mut show = cofferdam();
    let shown = text(&show.args(["audit", "show", "--log"]).arg(&log).output().unwrap().stdout);
    assert!(shown.contains("by terminal after") && shown.contains("until revoked or expired"), "{shown}");
}
