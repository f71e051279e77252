//! What a kernel records of its guard: that a figure has passed its limit. What is refused because of it has a record of its own.

use super::Recording;
use crate::audit::{About, Durability, Event, Guarded};
use crate::guard::Crossing;

impl Recording {
    /// Records that a figure has passed its limit, in either direction.
    pub(crate) fn guarded(&self, crossing: Crossing) {
        let Crossing { figure, observed, limit, exceeded } = crossing;
        let outcome = if exceeded { "refused" } else { "resumed" }.to_owned();
        let event = Event::Guard(Box::new(Guarded { figure: figure.to_owned(), observed, limit, outcome }));
        if let Some(recorder) = &self.recorder {
            // It holds whether or not this can be recorded.
            drop(recorder.record(About::kernel(), event, Durability::Written));
        }
    }
}
