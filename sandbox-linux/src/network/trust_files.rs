//! How programs inside come to trust the authority by which rules about HTTPS are held: by files of the sandbox's own, and the variables by
//! which TLS libraries find such files.

use crate::format::op;
use crate::plan::encode::Plan;
use crate::plan::view::{Access, Node, View};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{
    ExecutionProfile, FilesystemProfile, HttpAuthority, NetworkMode, PathEffect, Temporary,
};
use cofferdam_plane_kit::network::https::Authority;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where they are.
const FOLDER: &str = "/.cofferdam";
/// Where they are without mounts: in temporary storage, which is the run's own.
const FOLDER_IN_TEMPORARY: &str = "/tmp/.cofferdam";
/// The authority's certificate alone.
const AUTHORITY: &str = "authority.pem";
/// It and what this machine trusts.
const BUNDLE: &str = "certificates.pem";

/// What programs look for the files by. Those of the bundle take the place of what a library trusts by itself, that of Node.js is added to it.
const VARIABLES: [(&str, &str); 8] = [
    ("SSL_CERT_FILE", BUNDLE),
    ("CURL_CA_BUNDLE", BUNDLE),
    ("REQUESTS_CA_BUNDLE", BUNDLE),
    ("GIT_SSL_CAINFO", BUNDLE),
    ("CARGO_HTTP_CAINFO", BUNDLE),
    ("PIP_CERT", BUNDLE),
    ("NPM_CONFIG_CAFILE", BUNDLE),
    ("NODE_EXTRA_CA_CERTS", AUTHORITY),
];

/// What programs find the files by, as the policy calls their place.
pub(crate) fn variables(tier: Tier) -> impl Iterator<Item = (&'static str, String)> {
    let folder = if tier == Tier::Full { FOLDER } else { FOLDER_IN_TEMPORARY };
    VARIABLES.into_iter().map(move |(name, file)| (name, format!("{folder}/{file}")))
}

/// The files, and what is in them.
fn files(authority: &Authority) -> [(&'static str, String); 2] {
    [(AUTHORITY, authority.certificate()), (BUNDLE, authority.bundle())]
}

/// Why the files could not be put anywhere without mounts, if so.
pub(crate) fn without_mounts(profile: &ExecutionProfile) -> Option<&'static str> {
    let nowhere = !profile.network.hosts_inside_tls().is_empty() && profile.filesystem.temporary != Temporary::Private;
    nowhere.then_some(
        "without a mount namespace programs find the certificates of network.http_authority in their temporary storage alone; let them have it (filesystem.write = [\"{tmp}\"])",
    )
}

/// Makes the files in `temporary`, a run's own.
pub(crate) fn make(plan: &mut Plan, temporary: &Path, authority: &Authority) {
    let folder = temporary.join(FOLDER.trim_start_matches('/'));
    let place = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
    plan.add(op::DIRECTORY, folder.to_string_lossy()).text(place(&folder)).u32(0o700);
    for (name, contents) in files(authority) {
        let path = folder.join(name);
        plan.add(op::CONTENTS, path.to_string_lossy()).text(place(&path)).text(contents);
    }
}

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
    for (name, contents) in files(authority) {
        let path = &*format!("{FOLDER}/{name}");
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
