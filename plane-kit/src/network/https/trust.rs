//! Which hosts are who they say: by the certificates that this machine trusts.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The one protocol that is read, as it is negotiated (RFC 7301, 6).
pub(super) const HTTP_1: &[u8] = b"http/1.1";

/// The certificates that this machine trusts, where its own programs find them: `SSL_CERT_FILE` and `SSL_CERT_DIR`, or the system's store.
///
/// # Errors
/// `io_failed` where there is none: no host could be known, whether requests of it are looked at or not.
pub(super) fn of_this_machine() -> Result<Vec<CertificateDer<'static>>, BridgeError> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let why = match found.errors.first() {
        Some(error) => format!(" ({error})"),
        None => String::new(),
    };
    let message = format!(
        "this machine trusts no certificate{why}, and so no host that entries with https in network.http name could be known; install its certificates (ca-certificates), or name a file of them by SSL_CERT_FILE"
    );
    Err(BridgeError::new(ErrorCode::IoFailed, message))
}

/// How hosts are talked to that have a certificate of one of `roots`. Each is looked at anew.
pub(super) fn client(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let mut store = RootCertStore::empty();
    // Old stores hold some that nothing could be proved by.
    store.add_parsable_certificates(roots.iter().cloned());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
