//! Whether and when a persistent command that ended is started again.

use cofferdam_bridge::exit_cause::ExitCause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After which ends a command is started again. None comes after a stop that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RestartWhen {
    /// After none.
    #[default]
    Never,
    /// After any but exit code 0.
    OnFailure,
    /// After all.
    Always,
}

/// When a command that ended is started again. The pause doubles with each restart, and is the first again after a run that was longer than
/// the longest pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// The first pause.
    pub delay: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How often at most without such a long run between; no bound where none is given.
    pub most: Option<u32>,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        let (delay, longest) = (Duration::from_millis(100), Duration::from_secs(30));
        Self { when: RestartWhen::Never, delay, longest, most: None }
    }
}

impl RestartPolicy {
    /// Restarts after the ends of `when`, from 100 ms to 30 s after each.
    pub fn new(when: RestartWhen) -> Self {
        Self { when, ..Self::default() }
    }

    /// Sets the first and the longest pause.
    pub fn pauses(mut self, delay: Duration, longest: Duration) -> Self {
        (self.delay, self.longest) = (delay, longest.max(delay));
        self
    }

    /// Gives up after so many.
    pub fn most(mut self, count: u32) -> Self {
        self.most = Some(count);
        self
    }

    /// The pause before the next start after an end by `cause`, `before` restarts having come in a row; none where there is no next.
    pub(super) fn pause(&self, cause: &ExitCause, before: u32) -> Option<Duration> {
        let wanted = match self.when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => !cause.success(),
            RestartWhen::Always => true,
        };
        // What the policy or its host has ended is not to go on by itself.
        let ended_for_good = matches!(cause, ExitCause::Killed | ExitCause::RefusedByPolicy { .. });
        if !wanted || ended_for_good || self.most.is_some_and(|most| before >= most) {
            return None;
        }
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        Some(self.delay.saturating_mul(factor).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let policy = RestartPolicy::new(RestartWhen::Always);
        let ended = ExitCause::Exited { code: 0 };
        let pauses: Vec<_> = (0..4).map(|before| policy.pause(&ended, before).unwrap().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
        for before in [9, 31, 32, 1000] {
            assert_eq!(policy.pause(&ended, before), Some(Duration::from_secs(30)), "{before}");
        }
    }

    #[test]
    fn which_ends_are_followed_by_a_start() {
        let failed = ExitCause::Signalled { signal: 11, core_dumped: false };
        assert_eq!(RestartPolicy::default().pause(&failed, 0), None);
        let on_failure = RestartPolicy::new(RestartWhen::OnFailure).most(2);
        assert_eq!(on_failure.pause(&ExitCause::Exited { code: 0 }, 0), None);
        assert!(on_failure.pause(&failed, 1).is_some());
        assert_eq!(on_failure.pause(&failed, 2), None, "the third time");
        assert_eq!(RestartPolicy::new(RestartWhen::Always).pause(&ExitCause::Killed, 0), None);
    }
}
