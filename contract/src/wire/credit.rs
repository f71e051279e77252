//! How much output an execution may still send.

use cofferdam_bridge::event::ExecutionEvent;

/// What an event costs that carries no output: so much, that a flood of them is bounded, too.
pub(super) const OTHER_EVENT: u64 = 256;

/// What sending `event` costs. The last one is free, so that an end can always be told.
pub(super) fn cost(event: &ExecutionEvent) -> u64 {
    match event {
        ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } => bytes.len() as u64,
        ExecutionEvent::Exited(_) => 0,
        _ => OTHER_EVENT,
    }
}

/// Credit in bytes. The side that sends spends it, the side that receives grants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Credit(u64);

impl Credit {
    pub(super) fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub(super) fn left(self) -> u64 {
        self.0
    }

    /// Spends; `false` and unchanged where there is too little.
    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    pub(super) fn grant(&mut self, bytes: u64) {
        self.0 = self.0.saturating_add(bytes);
    }
}
