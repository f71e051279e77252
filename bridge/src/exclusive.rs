//! Makes a single-threaded implementation usable from several threads.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::operations::operations;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lets one caller at a time use what is in it. For implementations that keep state in cells.
///
/// ```
/// use cofferdam_bridge::call::CallContext;
/// use cofferdam_bridge::error::BridgeError;
/// use cofferdam_bridge::exclusive::Exclusive;
/// use cofferdam_bridge::execution::BridgeTypes;
/// use cofferdam_bridge::ids::VmId;
/// use cofferdam_bridge::random::{FillRandomBytesRequest, RandomBridge};
/// use std::cell::Cell;
///
/// /// Counts. `Cell` cannot be shared between threads.
/// struct Counting(Cell<u8>);
/// impl BridgeTypes for Counting {
///     type Error = BridgeError;
/// }
/// impl RandomBridge for Counting {
///     fn fill_random_bytes(&self, _: &CallContext, request: FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError> {
///         Ok((0..request.length).map(|_| self.0.replace(self.0.get().wrapping_add(1))).collect())
///     }
/// }
///
/// fn usable_anywhere(_: impl RandomBridge + Send + Sync) {}
/// usable_anywhere(Exclusive::new(Counting(Cell::new(0))));
/// ```
#[derive(Debug, Default)]
pub struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    /// Wraps an implementation.
    pub fn new(inner: T) -> Self {
        Self(Mutex::new(inner))
    }

    /// A caller that panicked has at worst left its own call half done.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: BridgeTypes> BridgeTypes for Exclusive<T> {
    type Error = T::Error;
}

impl<T: BridgeTypes + ?Sized> BridgeTypes for Arc<T> {
    type Error = T::Error;
}

macro_rules! delegate {
    ($($bridge:path, $group:literal {
        $($method:ident($request:ty) -> $answer:ty;)*
    } with { $($sinking:ident($sink_request:ty, $sink:ty) -> $sink_answer:ty;)* })*) => { $(
        impl<T: $bridge> $bridge for Exclusive<T> {
            $(fn $method(&self, call: &CallContext, request: $request) -> Result<$answer, T::Error> {
                self.lock().$method(call, request)
            })*
            $(fn $sinking(&self, call: &CallContext, request: $sink_request, sink: $sink) -> Result<$sink_answer, T::Error> {
                self.lock().$sinking(call, request, sink)
            })*
        }

        impl<T: $bridge + ?Sized> $bridge for Arc<T> {
            $(fn $method(&self, call: &CallContext, request: $request) -> Result<$answer, T::Error> {
                self.as_ref().$method(call, request)
            })*
            $(fn $sinking(&self, call: &CallContext, request: $sink_request, sink: $sink) -> Result<$sink_answer, T::Error> {
                self.as_ref().$sinking(call, request, sink)
            })*
        }
    )* };
}
operations!(delegate);
