//! What a kernel records of actions: that one begins, on disk before anything of it happens, and how it ended.

use super::{Recording, Unrecorded};
use crate::action::{JobRecord, StartedJob};
use crate::audit::{About, ActionEnded, ActionStarted, Durability, Event, Figures};
use crate::telemetry;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::ids::VmId;

impl Recording {
    /// Figures for an action that begins or ends.
    pub(crate) fn action_figures(&self) -> Figures {
        self.figures()
    }

    /// Records that an action begins; answers the number of the record.
    ///
    /// # Errors
    /// `audit_unavailable` or `audit_damaged`, unless the host lets it run all the same.
    pub(crate) async fn action_started(
        &self,
        vm: &VmId,
        job: &StartedJob,
        telemetry: &Figures,
    ) -> Result<Option<u64>, BridgeError> {
        let Some(recorder) = &self.recorder else { return Ok(None) };
        let event = Event::ActionStarted(Box::new(ActionStarted {
            action: job.action.clone(),
            job: job.job_id.clone(),
            arguments_bytes: job.arguments_bytes,
            telemetry: telemetry.clone(),
        }));
        let recorded = recorder.record(self.about_action(vm, job), event, Durability::Synced);
        match telemetry::committing(&self.listeners, recorded).await {
            Ok(sequence) => Ok(Some(sequence)),
            Err(_) if self.unrecorded == Unrecorded::Runs => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records how an action ended, if its beginning is on record.
    ///
    /// # Errors
    /// As of the beginning.
    pub(crate) async fn action_ended(
        &self,
        vm: &VmId,
        record: &JobRecord,
        steps: usize,
        telemetry: &Figures,
    ) -> Result<(), BridgeError> {
        let (Some(recorder), Some(started)) = (&self.recorder, record.log_sequence) else { return Ok(()) };
        let ended = Box::new(ActionEnded {
            started,
            action: record.job.action.clone(),
            job: record.job.job_id.clone(),
            code: record.code,
            steps: steps as u64,
            elapsed_ms: record.elapsed_ms,
            telemetry: telemetry.clone(),
        });
        let event = if record.success { Event::ActionCompleted(ended) } else { Event::ActionFailed(ended) };
        match recorder.record(self.about_action(vm, &record.job), event, Durability::Written).await {
            Err(error) if self.unrecorded == Unrecorded::Refused => Err(error),
            _ => Ok(()),
        }
    }

    fn about_action(&self, vm: &VmId, job: &StartedJob) -> About {
        let about = About::vm(vm).trace(self.listeners.trace());
        match &job.session {
            Some(session) => about.session(session),
            None => about,
        }
    }
}
