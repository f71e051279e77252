//! A plane's small operations, called over the wire.

use super::answers::Answered;
use super::requests::Sent;
use super::{Key, Listener};
use crate::plane::WirePlane;
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::{ScheduleTimerRequest, ScheduledTimer, TimerSink};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::filesystem::{WatchRequest, WatchSink};
use cofferdam_bridge::ids::VmId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::typed::from_data;
use std::sync::Arc;
use std::time::Duration;

/// The small bridges of a plane in another process: those of the groups that it announced. Another's operations answer
/// `unsupported_operation`.
///
/// Watches and timers end with the process; when it is started again, they have to be asked for again. A call that is cancelled while it is on
/// its way is still waited for, up to ten seconds.
#[derive(Clone, Debug)]
pub struct RemoteBridges(Arc<WirePlane>);

impl RemoteBridges {
    /// The bridges of `plane`.
    pub fn new(plane: Arc<WirePlane>) -> Self {
        Self(plane)
    }

    /// Whether the plane answers the operations of this group.
    pub fn answers(&self, group: &str) -> bool {
        self.0.groups().iter().any(|own| own == group)
    }

    /// Asks, unless nobody waits for it any more. There is no clock on this side that a deadline could be held against.
    fn ask(&self, call: &CallContext, operation: &str, params: Data) -> Result<Data, BridgeError> {
        call.check(Duration::ZERO)?;
        self.offered(operation)?;
        self.0.call(operation, params)
    }

    fn offered(&self, operation: &str) -> Result<(), BridgeError> {
        if self.answers(operation.split('.').next().unwrap_or_default()) {
            return Ok(());
        }
        let message =
            "this plane does not answer the group that the operation belongs to; its greeting lists those it does";
        Err(BridgeError::new(ErrorCode::UnsupportedOperation, message).with("operation", operation))
    }
}

impl BridgeTypes for RemoteBridges {
    type Error = BridgeError;
}

/// A request whose answer names something that is listened to.
trait Listening<Sink: ?Sized> {
    type Named: Answered;

    fn vm_id(&self) -> VmId;

    fn listener(sink: Arc<Sink>) -> Listener;

    fn key(vm_id: VmId, named: &Self::Named) -> Key;
}

impl Listening<dyn WatchSink> for WatchRequest {
    type Named = u64;

    fn vm_id(&self) -> VmId {
        self.vm_id.clone()
    }

    fn listener(sink: Arc<dyn WatchSink>) -> Listener {
        Listener::Watch(sink)
    }

    fn key(_: VmId, named: &u64) -> Key {
        Key::Watch(*named)
    }
}

impl Listening<dyn TimerSink> for ScheduleTimerRequest {
    type Named = ScheduledTimer;

    fn vm_id(&self) -> VmId {
        self.vm_id.clone()
    }

    fn listener(sink: Arc<dyn TimerSink>) -> Listener {
        Listener::Timer(sink)
    }

    fn key(vm_id: VmId, named: &ScheduledTimer) -> Key {
        Key::Timer(vm_id, named.timer_id)
    }
}

fn read<T: Answered>(answer: Data) -> Result<T, BridgeError> {
    T::answered(answer).map_err(|_| WireFault::InvalidResult.as_plane_fault())
}

impl RemoteBridges {
    fn ask_and_listen<S: ?Sized, R: Sent + Listening<S>>(
        &self,
        call: &CallContext,
        operation: &str,
        request: R,
        sink: Arc<S>,
    ) -> Result<R::Named, BridgeError> {
        call.check(Duration::ZERO)?;
        self.offered(operation)?;
        let vm_id = request.vm_id();
        self.0.call_and_listen(operation, request.sent(), |answer| {
            let named = read::<R::Named>(answer)?;
            Ok((R::key(vm_id, &named), R::listener(sink), named))
        })
    }

    /// What is taken back by a call that is not answered by `false`.
    fn taken_back(operation: &str, params: &Data) -> Option<Key> {
        let number = |name: &str| params.get(name).and_then(Data::as_unsigned);
        match operation {
            "filesystem.unwatch" => number("watch_id").map(Key::Watch),
            "clock.cancel_timer" => {
                let vm_id = params.get("vm_id").and_then(|vm_id| from_data::<VmId>(vm_id.clone()).ok());
                vm_id.zip(number("timer_id")).map(|(vm_id, timer_id)| Key::Timer(vm_id, timer_id))
            }
            _ => None,
        }
    }
}

macro_rules! remote {
    ($($bridge:path, $group:literal {
        $($method:ident($request:ty) -> $answer:ty;)*
    } with { $($listening:ident($listening_request:ty, $sink:ty) -> $named:ty;)* })*) => {
        $(impl $bridge for RemoteBridges {
            $(fn $method(&self, call: &CallContext, request: $request) -> Result<$answer, BridgeError> {
                let operation = concat!($group, ".", stringify!($method));
                let params = request.sent();
                let key = Self::taken_back(operation, &params);
                let answer = self.ask(call, operation, params)?;
                if let Some(key) = key.filter(|_| answer != Data::Bool(false)) {
                    self.0.stop_listening(&key);
                }
                read(answer)
            })*
            $(fn $listening(
                &self,
                call: &CallContext,
                request: $listening_request,
                sink: $sink,
            ) -> Result<$named, BridgeError> {
                self.ask_and_listen(call, concat!($group, ".", stringify!($listening)), request, sink)
            })*
        })*
    };
}
cofferdam_bridge::bridge_operations!(remote);
