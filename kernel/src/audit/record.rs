//! A record as it stands in the log: one line of JSON, chained to the one before by its hash.

use super::event::Event;
use super::hexadecimal;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::trace_context::TraceContext;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the first record of a log is chained to.
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The longest line, in bytes, its end included. What is longer is shortened before it is written.
pub const LONGEST_LINE: usize = 64 << 10;

/// Whom a record is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct About {
    /// The VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmId>,
    /// The session, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The trace, where the host traces: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The span in it under which this was started: 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
}

impl About {
    /// A record about the kernel or the host as a whole.
    pub fn kernel() -> Self {
        Self::default()
    }

    /// A record about a VM.
    pub fn vm(vm: &VmId) -> Self {
        Self { vm: Some(vm.clone()), ..Self::default() }
    }

    /// About a run of it.
    #[must_use]
    pub fn execution(mut self, execution: &ExecutionId) -> Self {
        self.execution = Some(execution.clone());
        self
    }

    /// In that span of a trace.
    #[must_use]
    pub fn trace(mut self, trace: Option<TraceContext>) -> Self {
        (self.trace_id, self.span_id) = trace.map(|trace| (trace.trace_id, trace.span_id)).unzip();
        self
    }

    /// Names are the host's, and may be of any length.
    pub(super) fn bound(&mut self) {
        const LONGEST: usize = 256;
        let shortened = |text: &str| {
            let kept = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default();
            (text.len() > LONGEST).then(|| format!("{kept}…"))
        };
        if let Some(text) = self.vm.as_ref().and_then(|id| shortened(id.as_str())) {
            self.vm = Some(VmId::new(text));
        }
        if let Some(text) = self.execution.as_ref().and_then(|id| shortened(id.as_str())) {
            self.execution = Some(ExecutionId::new(text));
        }
        for name in [&mut self.session, &mut self.trace_id, &mut self.span_id] {
            if let Some(text) = name.as_deref().and_then(shortened) {
                *name = Some(text);
            }
        }
    }

    /// Within a session.
    #[must_use]
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }
}

/// A record, its fields in the order in which they stand in its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Record {
    /// Its sequence number: 1 for the first, and one more for each.
    pub seq: u64,
    /// The check of the record before; zeros in a log's first.
    pub prev: String,
    /// The time of day when it was handed to the log: RFC 3339, UTC, nanoseconds.
    pub time: String,
    /// The writer's monotonic clock then, in nanoseconds; to be compared among records of one writer only.
    pub mono_ns: u64,
    /// Which process, and which of its logs, wrote it. Ids of VMs and executions are unique in a log where kernels have ids of
    /// their own, as those of the command have; else for a writer.
    pub writer: String,
    /// The VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmId>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The trace, where the host traced: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The span in it under which this was started: 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// What happened.
    pub event: Event,
    /// SHA-256, in hexadecimal, of the line up to `,"check":`.
    pub check: String,
}

impl Record {
    /// Reads a line, without its end, and holds its check against it.
    ///
    /// # Errors
    /// `audit_damaged` where it is no record or was changed.
    pub fn read(line: &[u8]) -> Result<Self, BridgeError> {
        let (_, check) = split(line).ok_or_else(|| damaged("is no record, or its check does not hold"))?;
        let record: Self = serde_json::from_slice(line).map_err(|_| damaged("is no record"))?;
        if record.check == check { Ok(record) } else { Err(damaged("has two checks")) }
    }
}

/// What a writer knows about a record before the log gives it its number.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) about: About,
    pub(super) time: String,
    pub(super) mono_ns: u64,
    pub(super) event: Event,
}

/// The line of a record without its check, in the order of [`Record`].
#[derive(Serialize)]
struct Body<'a, E> {
    seq: u64,
    prev: &'a str,
    time: &'a str,
    mono_ns: u64,
    writer: &'a str,
    #[serde(flatten)]
    about: &'a About,
    event: E,
}

const CHECK: &[u8] = b",\"check\":\"";

/// Bytes of a check with its name, quotes and the closing brace.
const TAIL: usize = CHECK.len() + 64 + 2;

impl Entry {
    /// Appends the line of this entry, its end included, and answers its check.
    pub(super) fn write(&self, seq: u64, prev: &str, writer: &str, lines: &mut Vec<u8>) -> Result<String, BridgeError> {
        let body =
            |event| Body { seq, prev, time: &self.time, mono_ns: self.mono_ns, writer, about: &self.about, event };
        let start = lines.len();
        let failed = |_| BridgeError::new(ErrorCode::AuditUnavailable, "an event has no JSON form");
        serde_json::to_writer(&mut *lines, &body(&self.event)).map_err(failed)?;
        if lines.len() - start + TAIL > LONGEST_LINE {
            let mut event = serde_json::to_value(&self.event).map_err(failed)?;
            let mut most = 4096;
            while lines.len() - start + TAIL > LONGEST_LINE && most > 0 {
                super::bound::shorten(&mut event, most);
                most /= 4;
                lines.truncate(start);
                let body = Body {
                    seq,
                    prev,
                    time: &self.time,
                    mono_ns: self.mono_ns,
                    writer,
                    about: &self.about,
                    event: &event,
                };
                serde_json::to_writer(&mut *lines, &body).map_err(failed)?;
            }
        }
        // The closing brace comes after the check.
        lines.pop();
        let check = hexadecimal::of(&Sha256::digest(lines.get(start..).unwrap_or_default()));
        lines.extend_from_slice(CHECK);
        lines.extend_from_slice(check.as_bytes());
        lines.extend_from_slice(b"\"}\n");
        Ok(check)
    }
}

/// The part of a line that its check covers, and the check, where it holds.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let check = tail.strip_prefix(CHECK)?.strip_suffix(b"\"}")?;
    let check = std::str::from_utf8(check).ok()?;
    (hexadecimal::of(&Sha256::digest(body)) == check).then_some((body, check))
}

fn damaged(what: &str) -> BridgeError {
    let message = format!("a line of the audit log {what}; `cofferdam audit verify` names the place");
    BridgeError::new(ErrorCode::AuditDamaged, message)
}
