//! Everything that can be wrong with what the other side sends: one table, from which the reference page is made.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::fmt;

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consequence {
    /// The message is answered with the error, and the session goes on.
    Answered,
    /// The session ends: what comes after cannot be trusted to mean what it says.
    Ends,
}

macro_rules! faults {
    ($($variant:ident, $name:literal, $number:literal, $consequence:ident, $doc:literal;)*) => {
        /// A breach of the wire protocol. Each has a stable name and, where it is answered, a number of JSON-RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum WireFault { $(#[doc = $doc] $variant,)* }

        impl WireFault {
            /// Every fault there is, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The number in a JSON-RPC error.
            pub const fn number(self) -> i64 {
                match self { $(Self::$variant => $number),* }
            }

            /// What a plane that meets it does. A kernel that meets one ends the session, whichever it is.
            pub const fn consequence(self) -> Consequence {
                match self { $(Self::$variant => Consequence::$consequence),* }
            }

            /// What it means, as a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

faults! {
    Malformed, "malformed", -32700, Answered, "A frame is not one value of the encoding.";
    InvalidUtf8, "invalid_utf8", -32700, Answered, "Text in a frame is not UTF-8.";
    DuplicateKey, "duplicate_key", -32700, Answered, "A name stands twice in one map.";
    TooDeep, "too_deep", -32700, Answered, "Values are nested deeper than the bound.";
    FrameTooLarge, "frame_too_large", -32001, Ends, "A frame is longer than the bound; where the next one begins is not looked for.";
    InvalidMessage, "invalid_message", -32600, Answered, "A frame holds no request, notification or reply of JSON-RPC 2.0. Batches are none.";
    UnknownMethod, "unknown_method", -32601, Answered, "There is no such method in this direction.";
    InvalidParams, "invalid_params", -32602, Answered, "Parameters lack a field, or one has the wrong type or value.";
    NotGreeted, "not_greeted", -32002, Answered, "Something other than `session.hello` came first.";
    GreetedTwice, "greeted_twice", -32003, Answered, "`session.hello` came a second time.";
    NoCommonVersion, "no_common_version", -32004, Answered, "The two sides speak no version, or no encoding, in common.";
    IdReused, "id_reused", -32005, Answered, "The id of a request is not greater than all before it.";
    TooManyPending, "too_many_pending", -32006, Answered, "More calls wait for their answer than were agreed.";
    UnexpectedReply, "unexpected_reply", -32007, Ends, "A reply to nothing: its id was never sent, or was answered already.";
    CreditExceeded, "credit_exceeded", -32008, Ends, "An execution sent more output than it had credit for.";
    UnknownExecution, "unknown_execution", -32009, Ends, "An event names an execution that does not run: never started, or its end was told.";
    InvalidResult, "invalid_result", -32010, Ends, "The result of a call is not what its method answers.";
    Unresponsive, "unresponsive", -32011, Ends, "The other side does not answer in time, or does not read.";
    Disconnected, "disconnected", -32012, Ends, "The other side has closed the connection, or has ended.";
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for WireFault {}

impl WireFault {
    /// The error that executions of a plane end with, and calls to it answer, when the plane has done this.
    pub fn as_plane_fault(self) -> BridgeError {
        let message = format!("the plane's process broke the wire protocol ({self}): {}", self.meaning());
        let error = BridgeError::new(ErrorCode::PlaneFault, message).with("wire_fault", self.as_str());
        if matches!(self, Self::Disconnected | Self::Unresponsive) { error.retryable() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_where_they_belong() {
        let mut names: Vec<_> = WireFault::ALL.iter().map(|fault| fault.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WireFault::ALL.len());
        for fault in WireFault::ALL {
            let error = fault.as_plane_fault();
            assert_eq!(error.code, ErrorCode::PlaneFault);
            assert_eq!(error.details["wire_fault"], fault.as_str());
        }
    }
}
