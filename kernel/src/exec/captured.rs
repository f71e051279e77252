//! What a program prints while it runs: kept up to a limit, and ended at once past it.

use crate::execution::Execution;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::exec::MOST_OUTPUT_BYTES;

/// A stream that was printed.
#[derive(Debug)]
pub(super) struct Stream {
    limit: u64,
    /// Bytes seen up to the moment when the limit was passed, or in all.
    seen: u64,
    past: bool,
}

impl Stream {
    fn bounded(limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(MOST_OUTPUT_BYTES).min(MOST_OUTPUT_BYTES), seen: 0, past: false }
    }

    /// Counts more of it; answers whether all of it so far is within the limit.
    fn count(&mut self, bytes: &[u8]) -> bool {
        if !self.past {
            self.seen = self.seen.saturating_add(bytes.len() as u64);
            self.past = self.seen > self.limit;
        }
        !self.past
    }

    /// The limit and the bytes seen, where the limit was passed.
    pub(super) fn excess(&self) -> Option<(u64, u64)> {
        self.past.then_some((self.limit, self.seen))
    }
}

/// Everything that a program printed, and how it ended.
pub(super) struct Captured {
    /// Standard output, as long as it is within its limit.
    pub(super) bytes: Vec<u8>,
    pub(super) stdout: Stream,
    /// Of standard error only its size is known: nobody is told what stands there.
    pub(super) stderr: Stream,
    pub(super) report: ExecutionReport,
}

impl Captured {
    /// Reads both streams to the end of the run, which comes at once when one of them passes its limit.
    pub(super) async fn gather(execution: &mut Execution, limits: [Option<u64>; 2]) -> Self {
        let [mut stdout, mut stderr] = limits.map(Stream::bounded);
        let mut bytes = Vec::new();
        while let Some(event) = execution.next_event().await {
            let within = match event {
                ExecutionEvent::Stdout { bytes: more } => {
                    let within = stdout.count(&more);
                    if within {
                        append(&mut bytes, more);
                    }
                    within
                }
                ExecutionEvent::Stderr { bytes } => stderr.count(&bytes),
                _ => true,
            };
            if !within {
                execution.kill();
            }
        }
        Self { bytes, stdout, stderr, report: execution.wait().await }
    }
}

/// The first piece is most often all there is, and needs no copy.
fn append(all: &mut Vec<u8>, more: Vec<u8>) {
    if all.is_empty() { *all = more } else { all.extend(more) }
}
