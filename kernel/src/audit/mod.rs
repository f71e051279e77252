//! The audit log: what was decided, started and done, in the order in which it happened, so that it cannot be changed unnoticed.
//!
//! A [`Recorder`] takes [`Event`]s and answers a sequence number as soon as the record is as safe as it was asked for. Records are lines of
//! JSON, each chained to the one before by its hash ([`Record`]); `docs/audit.md` tells the format, and what it protects from. Where the bytes go
//! is the business of an [`AuditStore`](cofferdam_bridge::audit::AuditStore).

mod action_event;
mod bound;
mod event;
mod fault;
mod filter;
mod hexadecimal;
mod instant;
mod log;
mod own_event;
mod prompt_event;
mod reader;
mod record;
mod recorder;
mod retention;
mod schema;
mod settings;
mod tail;
mod ticket;
mod verify;

pub use action_event::{ActionEnded, ActionStarted};
pub use event::{ChangesTouched, Decided, Ended, Event, Figures, Guarded, Note, RecordedArguments, Refused, Started};
pub use fault::{Fault, FaultKind};
pub use filter::Filter;
pub use instant::format_time;
pub use own_event::{Checkpoint, FORMAT, Recovered, Retired, SegmentBegin, SegmentEnd, Signature};
pub use prompt_event::{Answered, GrantUsed, Granted, Prompted, Revoked};
pub use reader::{ReadRecord, Reader};
pub use record::{About, LONGEST_LINE, ORIGIN, Record};
pub use recorder::{Durability, Recorder};
pub use schema::schema;
pub use settings::{ArgumentRecording, AuditSettings};
pub use ticket::Ticket;
pub use verify::{Verified, Verifier};
