//! The two answers that need no policy.

use crate::call::CallContext;
use crate::error::BridgeError;
use crate::execution::BridgeTypes;
use crate::permission::{
    CommandPermissionRequest, EnvironmentPermissionRequest, FilesystemPermissionRequest, NetworkPermissionRequest,
    PermissionBridge, PermissionVerdict,
};

/// No, to everything: what an embedder has who names no permissions.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyEverything;

impl BridgeTypes for DenyEverything {
    type Error = BridgeError;
}

impl PermissionBridge for DenyEverything {}

/// Yes, to everything. For files that are in memory anyway, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowEverything;

impl BridgeTypes for AllowEverything {
    type Error = BridgeError;
}

impl PermissionBridge for AllowEverything {
    fn check_filesystem_access(
        &self,
        _: &CallContext,
        _: FilesystemPermissionRequest,
    ) -> Result<PermissionVerdict, BridgeError> {
        Ok(PermissionVerdict::allow())
    }

    fn check_network_access(
        &self,
        _: &CallContext,
        _: NetworkPermissionRequest,
    ) -> Result<PermissionVerdict, BridgeError> {
        Ok(PermissionVerdict::allow())
    }

    fn check_command_execution(
        &self,
        _: &CallContext,
        _: CommandPermissionRequest,
    ) -> Result<PermissionVerdict, BridgeError> {
        Ok(PermissionVerdict::allow())
    }

    fn check_environment_access(
        &self,
        _: &CallContext,
        _: EnvironmentPermissionRequest,
    ) -> Result<PermissionVerdict, BridgeError> {
        Ok(PermissionVerdict::allow())
    }
}
