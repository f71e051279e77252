//! What stands in the place of [`https`](super) in builds without the feature `https`: there is no authority, and so nothing to end TLS by.

use super::gate::{Gate, Target};
use super::http::Requests;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::HttpAuthority;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// An authority, of which there is none.
#[derive(Debug)]
pub struct Authority(Infallible);

impl Authority {
    /// Reads nothing.
    ///
    /// # Errors
    /// Always `unsupported_backend_feature`.
    pub fn read(_: &HttpAuthority, _: &[&str]) -> Result<Self, BridgeError> {
        let why = "this build does not look at requests inside TLS; use one with the feature `https`, or take entries with https out of network.http";
        Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, why))
    }

    /// Where its key lies.
    pub fn key_path(&self) -> &Path {
        match self.0 {}
    }

    /// Its certificate.
    pub fn certificate(&self) -> String {
        match self.0 {}
    }

    /// All certificates that a run is to trust.
    pub fn bundle(&self) -> String {
        match self.0 {}
    }
}

/// What ends TLS, of which there is none.
#[derive(Debug)]
pub enum Ending {}

impl Ending {
    /// By `authority`.
    pub fn new(authority: Arc<Authority>) -> Self {
        match authority.0 {}
    }
}

/// Carries nothing: a connection that could not be looked into is let go.
pub async fn pass(
    _: &Gate,
    _: &Target,
    _: TcpStream,
    _: Requests,
    _: impl Fn() -> Option<String>,
    _: watch::Receiver<bool>,
) {
}
