//! Listeners to events: whatever is told is taken.

use super::check::{Group, Suite};
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::telemetry::{
    Diagnostic, EventBridge, LifecycleEvent, LifecycleState, LogLevel, LogRecord, StructuredEvent,
};
use std::collections::BTreeMap;

const GROUP: Group = Group::Events;

pub(super) fn check<E: EventBridge>(suite: &mut Suite, events: &E) {
    let (vm, call) = (VmId::new("conformance"), CallContext::unbounded());
    let told = |error: E::Error| super::stage::told(&error.into());
    let title = "what is told is taken";
    suite.check(GROUP, "structured", title, || {
        let fields: BTreeMap<String, serde_json::Value> = [("n".to_owned(), 1.into())].into();
        events.emit_structured_event(&call, StructuredEvent::new(vm.clone(), "kit", fields)).map_err(told)
    });
    suite.check(GROUP, "structured_empty", title, || {
        events.emit_structured_event(&call, StructuredEvent::new(vm.clone(), "kit", BTreeMap::new())).map_err(told)
    });
    suite.check(GROUP, "diagnostic", title, || {
        events.emit_diagnostic(&call, Diagnostic::new(vm.clone(), "code", "words")).map_err(told)
    });
    for (name, level) in [
        ("trace", LogLevel::Trace),
        ("debug", LogLevel::Debug),
        ("info", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("error", LogLevel::Error),
    ] {
        suite.check(GROUP, format!("log_{name}"), title, || {
            events.emit_log(&call, LogRecord::new(vm.clone(), level, "a line\nand another \u{1b}[0m")).map_err(told)
        });
    }
    for (name, state) in [
        ("starting", LifecycleState::Starting),
        ("ready", LifecycleState::Ready),
        ("busy", LifecycleState::Busy),
        ("terminated", LifecycleState::Terminated),
    ] {
        suite.check(GROUP, format!("lifecycle_{name}"), title, || {
            let event = LifecycleEvent::new(vm.clone(), ExecutionId::new("run"), state);
            events.emit_lifecycle(&call, event).map_err(told)
        });
    }
}
