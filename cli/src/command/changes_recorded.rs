//! What is done with kept changes, in the audit log.

use crate::audit_log::{self, Recording};
use crate::failure::Failure;
use cofferdam_bridge::event::ChangeSummary;
use cofferdam_kernel::audit::{About, ChangesTouched, Durability, Event, Recorder};
use std::path::Path;

/// Records what is done with the changes of one workspace, where the user wants it.
pub(super) struct ChangeLog {
    recorder: Option<Recorder>,
    workspace: String,
}

impl ChangeLog {
    /// The log for changes of `workspace`.
    pub(super) fn open(workspace: &Path) -> Result<Self, Failure> {
        let recorder = audit_log::recorder(Recording::Usual)?;
        Ok(Self { recorder, workspace: workspace.to_string_lossy().into_owned() })
    }

    /// A commit is about to be made. Returns when that is on disk.
    pub(super) fn committing(&self, id: &str) -> Result<(), Failure> {
        self.record(Event::ChangesCommitting, ChangeSummary::new(id), Durability::Synced)
    }

    /// It was made.
    pub(super) fn committed(&self, summary: ChangeSummary) -> Result<(), Failure> {
        self.record(Event::ChangesCommitted, summary, Durability::Written)
    }

    /// They were thrown away.
    pub(super) fn discarded(&self, id: &str) -> Result<(), Failure> {
        self.record(Event::ChangesDiscarded, ChangeSummary::new(id), Durability::Written)
    }

    fn record(
        &self,
        event: fn(Box<ChangesTouched>) -> Event,
        changes: ChangeSummary,
        durability: Durability,
    ) -> Result<(), Failure> {
        if let Some(recorder) = &self.recorder {
            let touched = Box::new(ChangesTouched::new(&self.workspace, changes));
            recorder.record(About::kernel(), event(touched), durability).wait()?;
        }
        Ok(())
    }
}
