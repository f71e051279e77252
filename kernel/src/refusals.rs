//! What the sandbox of a VM refused a run or ended it for, in the words that hosts match on.

use crate::vm::Vm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::sandbox_event::SandboxEvent;

impl Vm {
    /// What a run of this VM was refused, or ended for, by its sandbox: limits and the network, each kind once.
    pub fn sandbox_events(&self, report: &ExecutionReport) -> Vec<SandboxEvent> {
        let (profile, backend, mode) = (&self.profile().name, self.plane().name, self.profile().network.mode);
        let ended = SandboxEvent::of_cause(profile, &backend, &report.cause);
        let refused =
            report.denials.iter().filter_map(|denial| SandboxEvent::of_denial(profile, &backend, mode, denial));
        let mut events: Vec<SandboxEvent> = Vec::new();
        for event in ended.into_iter().chain(refused) {
            if !events.contains(&event) {
                events.push(event);
            }
        }
        events
    }

    /// `error`, with the limit that `cause` tells of in its details.
    pub(crate) fn telling(&self, cause: &ExitCause, error: BridgeError) -> BridgeError {
        match SandboxEvent::of_cause(&self.profile().name, &self.plane().name, cause) {
            Some(event) => event.told_by(error),
            None => error,
        }
    }
}
