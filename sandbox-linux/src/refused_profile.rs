//! What a preflight refuses is refused to whoever asks without one, too.

use cofferdam_bridge::descriptor::Preflight;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;

/// Fails with the first reason for which `preflight` does not accept a profile; `too_little`: since the machine isolates too little.
///
/// # Errors
/// `sandbox_backend_unavailable`, else `unsupported_backend_feature`.
pub(crate) fn accepted(preflight: &Preflight, too_little: bool) -> Result<(), BridgeError> {
    let Some(reason) = preflight.shortfalls.iter().find(|shortfall| shortfall.blocking) else { return Ok(()) };
    let code = if too_little { ErrorCode::SandboxBackendUnavailable } else { ErrorCode::UnsupportedBackendFeature };
    Err(BridgeError::new(code, reason.message.clone()))
}
