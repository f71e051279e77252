//! From a guest's call to the bridge that answers it: found in the contract, bounded, decided, done, bounded again.
//!
//! There is one way through: what the contract does not name, what is too large, what names another VM, and what is not allowed does
//! not reach a bridge. Paths are made canonical first, and what was decided about is what is then used.

use crate::call::CallContext;
use crate::clock::TimerSink;
use crate::contract::{ArgumentPermission, BridgeContract, Caller, OperationGroup};
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::filesystem::{PathRequest, WatchSink};
use crate::host::GuestHost;
use crate::operations::operations;
use crate::permission::{FilesystemPermissionRequest, Requester};
use crate::verdict::Denial;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Answers the calls of one VM's guests.
pub struct Dispatcher<H> {
    host: H,
    watches: Arc<dyn WatchSink>,
    timers: Arc<dyn TimerSink>,
}

impl<H: std::fmt::Debug> std::fmt::Debug for Dispatcher<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("host", &self.host).finish_non_exhaustive()
    }
}

impl<H: GuestHost> Dispatcher<H> {
    /// A dispatcher that answers by `host`; what watches see and which timers fire is told to the sinks.
    pub fn new(host: H, watches: Arc<dyn WatchSink>, timers: Arc<dyn TimerSink>) -> Self {
        Self { host, watches, timers }
    }

    /// Answers one call of `requester`. `arguments` is a JSON object, by the names in the operation's request.
    ///
    /// # Errors
    /// `unknown_operation`; `request_invalid` for arguments that do not fit or are too large; `denied_by_policy`; `cancelled` and
    /// `deadline_exceeded`; `output_limit_exceeded` for an answer that is too large; and the operation's own.
    pub fn call(
        &self,
        call: &CallContext,
        requester: &Requester,
        name: &str,
        arguments: Value,
    ) -> Result<Value, BridgeError> {
        let operation = BridgeContract::embedded()?.find(name)?;
        if operation.caller != Caller::Guest {
            return Err(BridgeError::denied(&Denial::new("kernel_call", name)));
        }
        let mut arguments = object(operation, arguments)?;
        call.check(self.now(call, requester)?)?;
        for permission in &operation.permissions {
            self.permit(call, requester, permission, &mut arguments)?;
        }
        arguments.insert("vm_id".to_owned(), Value::from(requester.vm_id.as_str()));
        let answer = self.perform(call, operation, Value::Object(arguments))?;
        if json_bytes(&answer) > operation.max_result_bytes {
            let message = "the answer is larger than the contract allows; ask for less at once";
            return Err(BridgeError::new(ErrorCode::OutputLimitExceeded, message)
                .with("limit_bytes", operation.max_result_bytes));
        }
        Ok(answer)
    }

    fn now(&self, call: &CallContext, requester: &Requester) -> Result<std::time::Duration, BridgeError> {
        if call.deadline().is_none() {
            return Ok(std::time::Duration::ZERO);
        }
        let request = crate::clock::ClockRequest::new(requester.vm_id.clone());
        self.host.monotonic_clock(call, request).map_err(Into::into)
    }

    /// Asks for one permission, and puts the canonical path in the place of the one that was given.
    fn permit(
        &self,
        call: &CallContext,
        requester: &Requester,
        permission: &ArgumentPermission,
        arguments: &mut Map<String, Value>,
    ) -> Result<(), BridgeError> {
        let given = arguments.get(&permission.argument).and_then(Value::as_str);
        let given = given.ok_or_else(|| invalid(&format!("`{}` must be a path", permission.argument)))?;
        let path = self.canonical(call, requester, given, permission.follow)?;
        let question = FilesystemPermissionRequest::new(requester.clone(), permission.access, path.as_str());
        let verdict = self.host.check_filesystem_access(call, question).map_err(Into::into)?;
        if !verdict.is_allowed() {
            let access = serde_json::to_value(permission.access).unwrap_or_default();
            let access = format!("filesystem.{}", access.as_str().unwrap_or("access"));
            let mut denial = Denial::new(access, path);
            denial.rule = verdict.rule;
            return Err(BridgeError::denied(&denial));
        }
        arguments.insert(permission.argument.clone(), Value::from(path));
        Ok(())
    }

    fn canonical(
        &self,
        call: &CallContext,
        requester: &Requester,
        given: &str,
        follow: bool,
    ) -> Result<String, BridgeError> {
        if !given.starts_with('/') || given.contains('\0') {
            return Err(BridgeError::new(ErrorCode::PathInvalid, "a path must be absolute and hold no NUL byte"));
        }
        let ask = |path: &str| {
            let request = PathRequest::new(requester.vm_id.clone(), path);
            self.host.canonicalize(call, request).map_err(Into::into)
        };
        if follow {
            return ask(given);
        }
        // What stands at the path is meant, even if it is a link: only what leads there is followed.
        let trimmed = given.trim_end_matches('/');
        let (above, name) = trimmed.rsplit_once('/').unwrap_or(("", ""));
        if matches!(name, "" | "." | "..") {
            return ask(given);
        }
        let above = ask(if above.is_empty() { "/" } else { above })?;
        Ok(format!("{}/{name}", above.trim_end_matches('/')))
    }
}

macro_rules! perform {
    ($($bridge:path, $group:literal {
        $($method:ident($request:ty) -> $answer:ty;)*
    } with { $($sinking:ident($sink_request:ty, $sink:ty) -> $sink_answer:ty;)* })*) => {
        impl<H: GuestHost> Dispatcher<H> {
            fn perform(&self, call: &CallContext, operation: &OperationGroup, arguments: Value) -> Result<Value, BridgeError> {
                match operation.operation.as_str() {
                    $($(concat!($group, ".", stringify!($method)) => {
                        encode::<$answer>(self.host.$method(call, decode::<$request>(arguments)?).map_err(Into::into)?)
                    })*
                    $(concat!($group, ".", stringify!($sinking)) => {
                        let sink = self.sink();
                        encode::<$sink_answer>(self.host.$sinking(call, decode::<$sink_request>(arguments)?, sink).map_err(Into::into)?)
                    })*)*
                    // A contract that names what no bridge has: refused, and a test fails.
                    other => Err(BridgeError::new(ErrorCode::UnknownOperation, "no bridge answers this operation").with("operation", other)),
                }
            }
        }

        /// Every operation that some bridge answers, with the name of its request's type.
        pub fn implemented() -> Vec<(&'static str, String)> {
            vec![
                $($((concat!($group, ".", stringify!($method)), type_name::<$request>()),)*
                $((concat!($group, ".", stringify!($sinking)), type_name::<$sink_request>()),)*)*
            ]
        }

        /// The JSON Schema of every request and answer, by operation.
        pub fn schemas() -> std::collections::BTreeMap<String, OperationSchemas> {
            let mut schemas = std::collections::BTreeMap::new();
            $($(schemas.insert(concat!($group, ".", stringify!($method)).to_owned(), OperationSchemas {
                request: schemars::schema_for!($request).to_value(),
                answer: schemars::schema_for!($answer).to_value(),
            });)*
            $(schemas.insert(concat!($group, ".", stringify!($sinking)).to_owned(), OperationSchemas {
                request: schemars::schema_for!($sink_request).to_value(),
                answer: schemars::schema_for!($sink_answer).to_value(),
            });)*)*
            schemas
        }
    };
}
operations!(perform);

/// What one operation takes and gives, as JSON Schemas.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OperationSchemas {
    /// Of the request.
    pub request: Value,
    /// Of the answer.
    pub answer: Value,
}

/// Chooses the sink that an operation wants.
trait Sinks<S: ?Sized> {
    fn sink(&self) -> Arc<S>;
}

impl<H> Sinks<dyn WatchSink> for Dispatcher<H> {
    fn sink(&self) -> Arc<dyn WatchSink> {
        self.watches.clone()
    }
}

impl<H> Sinks<dyn TimerSink> for Dispatcher<H> {
    fn sink(&self) -> Arc<dyn TimerSink> {
        self.timers.clone()
    }
}

/// The arguments as an object within bounds, without a word on whose they are.
fn object(operation: &OperationGroup, arguments: Value) -> Result<Map<String, Value>, BridgeError> {
    if json_bytes(&arguments) > operation.max_argument_bytes {
        return Err(invalid("the arguments are larger than the contract allows; hand over less at once")
            .with("limit_bytes", operation.max_argument_bytes));
    }
    match arguments {
        Value::Object(arguments) if !arguments.contains_key("vm_id") => Ok(arguments),
        Value::Object(_) => Err(invalid("a guest does not say which VM it is in")),
        Value::Null => Ok(Map::new()),
        _ => Err(invalid("the arguments must be an object")),
    }
}

fn decode<T: DeserializeOwned>(arguments: Value) -> Result<T, BridgeError> {
    serde_json::from_value(arguments).map_err(|error| {
        // The library's message quotes what it found, which may be a payload; where it was found is enough.
        let what =
            if error.is_data() { "an argument is missing, unknown, or of the wrong type" } else { "it is no JSON" };
        invalid(what)
    })
}

fn encode<T: Serialize>(answer: T) -> Result<Value, BridgeError> {
    serde_json::to_value(answer)
        .map_err(|_| BridgeError::new(ErrorCode::PlaneFault, "an answer could not be written as JSON"))
}

fn invalid(what: &str) -> BridgeError {
    BridgeError::new(ErrorCode::RequestInvalid, format!("the call does not fit its operation: {what}"))
}

fn type_name<T>() -> String {
    let full = std::any::type_name::<T>();
    full.rsplit("::").next().unwrap_or(full).to_owned()
}

/// Bytes of a value as JSON, counted without writing it anywhere.
fn json_bytes(value: &Value) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, and a value always has a JSON form.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
