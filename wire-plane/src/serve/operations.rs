//! The small operations over the wire: files, clock, random bytes and so on, under the names that `bridge-contract.json` gives them.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::{ScheduledTimer, TimerSink};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::{FileChange, WatchSink, WriteFileRequest, WriteRangeRequest};
use cofferdam_bridge::host::GuestHost;
use cofferdam_bridge::ids::VmId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::method;
use cofferdam_contract::wire::typed::{from_data, take_bytes, to_data};
use serde_json::Value;
use std::sync::Arc;

/// Where watches and timers are told of.
pub trait Notices: Send + Sync {
    /// Tells the kernel; `false` when nobody listens any more.
    fn tell(&self, method: &str, params: Data) -> bool;
}

/// Something that answers small operations.
pub trait Operations: Send + Sync {
    /// The groups that it answers, whole.
    fn groups(&self) -> Vec<String>;

    /// Answers one; what watches and timers see is told to `notices`.
    ///
    /// # Errors
    /// The operation's own, `request_invalid` for parameters that do not fit, `unknown_operation`.
    fn perform(&self, operation: &str, params: Data, notices: Arc<dyn Notices>) -> Result<Data, BridgeError>;
}

/// Serves all the small bridges of a host.
#[derive(Debug)]
pub struct SmallBridges<H>(H);

impl<H: GuestHost> SmallBridges<H> {
    /// Serves `host`. Whoever is connected may ask it for anything: policies are held by the kernel that asks.
    pub fn new(host: H) -> Self {
        Self(host)
    }
}

struct Told(Arc<dyn Notices>);

impl WatchSink for Told {
    fn changed(&self, watch_id: u64, path: &str, change: FileChange) -> bool {
        let (path, change) = (Data::text(path), to_data(&change));
        self.0
            .tell(method::FILE_CHANGED, Data::map([("watch_id", watch_id.into()), ("path", path), ("change", change)]))
    }
}

impl TimerSink for Told {
    fn timer_fired(&self, vm_id: &VmId, timer: ScheduledTimer) {
        let vm_id = Data::text(vm_id.as_str());
        self.0.tell(method::TIMER_FIRED, Data::map([("vm_id", vm_id), ("timer_id", timer.timer_id.into())]));
    }
}

macro_rules! serve {
    ($($bridge:path, $group:literal {
        $($method:ident($request:ty) -> $answer:ty;)*
    } with { $($sinking:ident($sink_request:ty, $sink:ty) -> $sink_answer:ty;)* })*) => {
        impl<H: GuestHost> Operations for SmallBridges<H> {
            fn groups(&self) -> Vec<String> {
                vec![$($group.to_owned()),*]
            }

            fn perform(&self, operation: &str, params: Data, notices: Arc<dyn Notices>) -> Result<Data, BridgeError> {
                let call = &CallContext::unbounded();
                match operation {
                    $($(concat!($group, ".", stringify!($method)) => {
                        let request = <$request as Read>::read(params).map_err(|_| invalid())?;
                        Ok(self.0.$method(call, request).map_err(Into::into)?.written())
                    })*
                    $(concat!($group, ".", stringify!($sinking)) => {
                        let request = <$sink_request as Read>::read(params).map_err(|_| invalid())?;
                        let sink = Arc::new(Told(notices));
                        Ok(self.0.$sinking(call, request, sink).map_err(Into::into)?.written())
                    })*)*
                    _ => Err(BridgeError::new(ErrorCode::UnknownOperation, "no bridge answers this operation")),
                }
            }
        }
    };
}
cofferdam_bridge::bridge_operations!(serve);

fn invalid() -> BridgeError {
    BridgeError::new(ErrorCode::RequestInvalid, "the parameters do not fit the operation; its schema says what does")
}

/// How a request comes off the wire: by its JSON form, but for bytes.
trait Read: Sized {
    fn read(params: Data) -> Result<Self, WireFault>;
}

macro_rules! by_json {
    ($($request:ty),* $(,)?) => { $(impl Read for $request {
        fn read(params: Data) -> Result<Self, WireFault> {
            from_data(params)
        }
    })* };
}
by_json!(
    cofferdam_bridge::filesystem::PathRequest,
    cofferdam_bridge::filesystem::ReadRangeRequest,
    cofferdam_bridge::filesystem::CreateDirectoryRequest,
    cofferdam_bridge::filesystem::TwoPathsRequest,
    cofferdam_bridge::filesystem::SymlinkRequest,
    cofferdam_bridge::filesystem::ChmodRequest,
    cofferdam_bridge::filesystem::TruncateRequest,
    cofferdam_bridge::filesystem::SetTimesRequest,
    cofferdam_bridge::filesystem::UnwatchRequest,
    cofferdam_bridge::filesystem::WatchRequest,
    cofferdam_bridge::module::ResolveModuleRequest,
    cofferdam_bridge::module::ModuleFormatRequest,
    cofferdam_bridge::permission::FilesystemPermissionRequest,
    cofferdam_bridge::permission::NetworkPermissionRequest,
    cofferdam_bridge::permission::CommandPermissionRequest,
    cofferdam_bridge::permission::EnvironmentPermissionRequest,
    cofferdam_bridge::persistence::LoadFilesystemStateRequest,
    cofferdam_bridge::clock::ClockRequest,
    cofferdam_bridge::clock::CancelTimerRequest,
    cofferdam_bridge::clock::ScheduleTimerRequest,
    cofferdam_bridge::random::FillRandomBytesRequest,
    cofferdam_bridge::telemetry::StructuredEvent,
    cofferdam_bridge::telemetry::Diagnostic,
    cofferdam_bridge::telemetry::LogRecord,
    cofferdam_bridge::telemetry::LifecycleEvent,
    cofferdam_bridge::exec::RunProgramRequest,
);

impl Read for WriteFileRequest {
    fn read(mut params: Data) -> Result<Self, WireFault> {
        let contents = take_bytes(&mut params, "contents")?;
        let mut request: Self = from_data(params)?;
        request.contents = contents;
        Ok(request)
    }
}

impl Read for WriteRangeRequest {
    fn read(mut params: Data) -> Result<Self, WireFault> {
        let contents = take_bytes(&mut params, "contents")?;
        let mut request: Self = from_data(params)?;
        request.contents = contents;
        Ok(request)
    }
}

impl Read for cofferdam_bridge::persistence::FlushFilesystemStateRequest {
    fn read(mut params: Data) -> Result<Self, WireFault> {
        let bytes = take_bytes(params.get_mut("snapshot").ok_or(WireFault::InvalidParams)?, "bytes")?;
        let mut request: Self = from_data(params)?;
        request.snapshot.bytes = bytes;
        Ok(request)
    }
}

/// How an answer goes onto the wire: by its JSON form, but for bytes.
trait Written {
    fn written(self) -> Data;
}

impl Written for Vec<u8> {
    fn written(self) -> Data {
        Data::Bytes(self)
    }
}

impl Written for Option<cofferdam_bridge::persistence::FilesystemSnapshot> {
    fn written(self) -> Data {
        self.map_or(Data::Null, |snapshot| {
            Data::map([("format", Data::Text(snapshot.format)), ("bytes", Data::Bytes(snapshot.bytes))])
        })
    }
}

macro_rules! written_as_json {
    ($($answer:ty),* $(,)?) => { $(impl Written for $answer {
        fn written(self) -> Data {
            serde_json::to_value(self).map_or(Data::Null, |value: Value| Data::from(value))
        }
    })* };
}
written_as_json!(
    (),
    bool,
    u64,
    String,
    Value,
    std::time::Duration,
    ScheduledTimer,
    cofferdam_bridge::clock::Timestamp,
    cofferdam_bridge::filesystem::FileMetadata,
    Vec<cofferdam_bridge::filesystem::DirectoryEntry>,
    Option<cofferdam_bridge::module::ModuleFormat>,
    cofferdam_bridge::permission::PermissionVerdict,
);
