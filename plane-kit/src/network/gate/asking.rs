//! Asking the host whether a run may be connected, where the policy says to ask. Only that connection waits.

use super::{Target, lock};
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::network_rules::NetworkRules;
use cofferdam_bridge::profile::{NetworkProfile, PromptProfile};
use cofferdam_bridge::prompt::{PromptAccess, PromptOutcome, PromptQuestion};
use cofferdam_bridge::verdict::RuleRef;
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// What is asked about, and by whom.
#[derive(Default)]
pub(super) struct Asking {
    rules: NetworkRules,
    /// The runs of this network, the last one last.
    hosts: Mutex<Vec<(i32, Arc<dyn ExecutionEventSink>)>>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Asking {
    /// By the rules of `prompts`.
    pub(super) fn new(prompts: &PromptProfile) -> Self {
        let mut profile = NetworkProfile::default();
        profile.allow.clone_from(&prompts.network);
        Self { rules: NetworkRules::new(&profile), hosts: Mutex::default() }
    }

    pub(super) fn begin(&self, run: i32, host: Arc<dyn ExecutionEventSink>) {
        lock(&self.hosts).push((run, host));
    }

    pub(super) fn end(&self, run: i32) {
        lock(&self.hosts).retain(|(own, _)| *own != run);
    }

    /// Whether a rule names `name` on any port.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.rules.name(name, None).is_some()
    }

    /// The rule by which `target` is asked about.
    pub(super) fn rule(&self, target: &Target) -> Option<&RuleRef> {
        target.rule_among(&self.rules)
    }

    /// Asks. Where several runs share the network it is in the name of the last that began. Letting go of the answer takes the
    /// question back.
    pub(super) async fn ask(&self, target: &Target, rule: &RuleRef, program: Option<String>) -> PromptOutcome {
        let host = lock(&self.hosts).last().map(|(_, host)| host.clone());
        let Some(host) = host else { return PromptOutcome::NobodyToAsk };
        let mut question = PromptQuestion::new(PromptAccess::Connect, target.entry(), rule.clone());
        question.program = program;
        let (say, said) = oneshot::channel();
        // Whoever waits no longer needs no answer.
        let _ticket = host.ask(
            question,
            Box::new(move |outcome| {
                let _ = say.send(outcome);
            }),
        );
        drop(host);
        said.await.unwrap_or(PromptOutcome::Cancelled)
    }
}
