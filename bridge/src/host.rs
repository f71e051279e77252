//! Everything that a kernel reaches the world through.

use crate::clock::ClockBridge;
use crate::exec::ExecBridge;
use crate::filesystem::FilesystemBridge;
use crate::module::ModuleBridge;
use crate::permission::PermissionBridge;
use crate::persistence::PersistenceBridge;
use crate::random::RandomBridge;
use crate::telemetry::EventBridge;

/// What guests' calls are answered by: whoever has all the small bridges, and can be used from several threads.
///
/// The small traits do not ask for `Send + Sync` themselves, so that a single-threaded implementation can be written and then be used
/// through [`Exclusive`](crate::exclusive::Exclusive).
pub trait GuestHost:
    FilesystemBridge
    + ModuleBridge
    + PermissionBridge
    + PersistenceBridge
    + ClockBridge
    + RandomBridge
    + ExecBridge
    + EventBridge
    + Send
    + Sync
{
}

impl<T> GuestHost for T where
    T: FilesystemBridge
        + ModuleBridge
        + PermissionBridge
        + PersistenceBridge
        + ClockBridge
        + RandomBridge
        + ExecBridge
        + EventBridge
        + Send
        + Sync
{
}

/// Whoever has all the bridges, running things included.
pub trait HostBridge: GuestHost + crate::execution::ExecutionBridge {}

impl<T: GuestHost + crate::execution::ExecutionBridge> HostBridge for T {}
