//! Events as lines of JSON.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::telemetry::{Diagnostic, EventBridge, LifecycleEvent, LogRecord, StructuredEvent};
use serde::Serialize;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Writes each event as one line, `{"kind": …, "event": …}`, and flushes it. A line is written whole or not at all by one writer at a
/// time; what cannot be written is an error and not lost in silence.
#[derive(Debug)]
pub struct HostLog<W>(Mutex<W>);

impl<W: Write + Send> HostLog<W> {
    /// A log into `writer`, such as an open file or standard error.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(writer))
    }

    fn line(&self, kind: &str, event: impl Serialize) -> Result<(), BridgeError> {
        let mut line = serde_json::json!({ "kind": kind, "event": event }).to_string();
        line.push('\n');
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(line.as_bytes()).and_then(|()| writer.flush()).map_err(|error| {
            BridgeError::new(ErrorCode::IoFailed, "an event could not be written to the log; is there room for it?")
                .with("kind", error.kind().to_string())
        })
    }
}

impl<W: Write + Send> BridgeTypes for HostLog<W> {
    type Error = BridgeError;
}

impl<W: Write + Send> EventBridge for HostLog<W> {
    fn emit_structured_event(&self, _: &CallContext, event: StructuredEvent) -> Result<(), BridgeError> {
        self.line("event", event)
    }

    fn emit_diagnostic(&self, _: &CallContext, event: Diagnostic) -> Result<(), BridgeError> {
        self.line("diagnostic", event)
    }

    fn emit_log(&self, _: &CallContext, event: LogRecord) -> Result<(), BridgeError> {
        self.line("log", event)
    }

    fn emit_lifecycle(&self, _: &CallContext, event: LifecycleEvent) -> Result<(), BridgeError> {
        self.line("lifecycle", event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::ids::VmId;
    use cofferdam_bridge::telemetry::LogLevel;

    #[test]
    fn a_line_holds_one_event_whatever_is_in_it() {
        let log = HostLog::new(Vec::new());
        let record = LogRecord::new(VmId::new("v"), LogLevel::Warn, "two\nlines \u{1b}[0m");
        log.emit_log(&CallContext::unbounded(), record).unwrap();
        let text = String::from_utf8(log.0.into_inner().unwrap()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["event"]["level"], "warn");
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        let record = LogRecord::new(VmId::new("v"), LogLevel::Info, "x");
        let error = HostLog::new(Full).emit_log(&CallContext::unbounded(), record).unwrap_err();
        assert_eq!(error.code, ErrorCode::IoFailed);
    }
}
