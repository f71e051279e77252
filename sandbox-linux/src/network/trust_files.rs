//! How programs inside come to trust the authority by which rules about HTTPS are held: by files of the sandbox's own, and the variables by
//! which TLS libraries find such files.

use crate::plan::view::{Access, Node, View};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{ExecutionProfile, FilesystemProfile, HttpAuthority, NetworkMode, PathEffect};
use cofferdam_plane_kit::network::https::Authority;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The authority's certificate alone.
const AUTHORITY: &str = "/.cofferdam/authority.pem";
/// It and what this machine trusts.
const BUNDLE: &str = "/.cofferdam/certificates.pem";

/// What programs look for the files by. Those of the bundle take the place of what a library trusts by itself, that of Node.js is added to it.
pub(crate) const VARIABLES: [(&str, &str); 8] = [
    ("SSL_CERT_FILE", BUNDLE),
    ("CURL_CA_BUNDLE", BUNDLE),
    ("REQUESTS_CA_BUNDLE", BUNDLE),
    ("GIT_SSL_CAINFO", BUNDLE),
    ("CARGO_HTTP_CAINFO", BUNDLE),
    ("PIP_CERT", BUNDLE),
    ("NPM_CONFIG_CAFILE", BUNDLE),
    ("NODE_EXTRA_CA_CERTS", AUTHORITY),
];

/// Reads the authority that `profile` names, where rules are about what is inside TLS.
///
/// # Errors
/// `policy_invalid` where its files will not do.
pub(crate) fn authority(profile: &ExecutionProfile) -> Result<Option<Arc<Authority>>, BridgeError> {
    let hosts: Vec<&str> = profile.network.hosts_inside_tls().into_iter().collect();
    if hosts.is_empty() || profile.network.mode != NetworkMode::Allowlist {
        return Ok(None);
    }
    let named = profile.network.http_authority.as_ref().ok_or_else(|| {
        let why = "rules about requests inside TLS need an authority whose certificates take the place of the host's; write network.http_authority = { certificate = \"/path\", key = \"/path\" }";
        BridgeError::new(ErrorCode::PolicyInvalid, why)
    })?;
    Authority::read(named, &hosts).map(|authority| Some(Arc::new(authority)))
}

/// Looks whether `view` hides the key of the authority that is `named`, of which `authority` is what was read: also where no rule looks
/// inside TLS, since what was shown once is no secret in the runs that come after.
///
/// # Errors
/// `policy_invalid` where the sandbox would show it.
pub(crate) fn check_hidden(
    view: &View,
    named: &HttpAuthority,
    authority: Option<&Authority>,
) -> Result<(), BridgeError> {
    let place = || Path::new(&named.key).canonicalize().unwrap_or_else(|_| PathBuf::from(&named.key));
    let key = authority.map_or_else(place, |authority| authority.key_path().to_owned());
    // Private temporary storage is not the host's folder of that name.
    if matches!(view.covering(&key), Some((_, Node::Bind { access, .. })) if *access != Access::None) {
        let message = format!(
            "the policy shows `{}`, the key of network.http_authority, to the programs that it is to hold; keep it where no rule leads, or add it to filesystem.deny",
            key.display()
        );
        return Err(BridgeError::new(ErrorCode::PolicyInvalid, message));
    }
    Ok(())
}

/// Puts the files where programs find them.
///
/// # Errors
/// `policy_invalid` where what the policy shows takes the files' place.
pub(crate) fn plant(view: &mut View, authority: &Authority) -> Result<(), BridgeError> {
    let mut decided = FilesystemProfile::default();
    decided.rules.clone_from(&view.rules);
    let rules = FilesystemRules::new(&decided)?;
    for (path, contents) in [(AUTHORITY, authority.certificate()), (BUNDLE, authority.bundle())] {
        view.plant(Path::new(path), contents);
        if !matches!(view.nodes.get(Path::new(path)), Some(Node::Planted { .. })) {
            let message = format!(
                "the policy shows a place of the host where `{path}` has to be, by which programs trust network.http_authority; show less than all of `/`"
            );
            return Err(BridgeError::new(ErrorCode::PolicyInvalid, message));
        }
        // Whatever reads it would be refused, and all TLS inside with it, since the variables name it.
        let decided = rules.decide(path, FileAccess::Read)?;
        if let Some(rule) = decided.rule.filter(|_| takes_reading(decided.effect)) {
            let message = format!(
                "`{}` ({}) takes `{path}` away, by which programs trust network.http_authority; name the host's files that are meant",
                rule.text,
                rule.place()
            );
            return Err(BridgeError::new(ErrorCode::PolicyInvalid, message));
        }
    }
    Ok(())
}

fn takes_reading(effect: Option<PathEffect>) -> bool {
    effect.is_some_and(|effect| effect == PathEffect::Deny || effect.asks())
}
