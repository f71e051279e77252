//! A certificate authority of the host, whose certificates take the place of those of hosts whose requests are looked at.

use super::key_file::{self, fault};
use super::leaf;
use super::trust::{self, HTTP_1};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::HttpAuthority;
use pem::Pem;
use rcgen::{Issuer, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As many names as are kept with their certificates.
const MOST_NAMES: usize = 256;
/// What a certificate is called in PEM.
const CERTIFICATE: &str = "CERTIFICATE";

/// An authority, ready to sign. Its key is in no `Debug`, and never leaves it.
pub struct Authority {
    certificate: CertificateDer<'static>,
    key_path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The key of all that it signs here: made for this, and gone with it.
    leaf_key: KeyPair,
    provider: Arc<CryptoProvider>,
    client: Arc<ClientConfig>,
    roots: Vec<CertificateDer<'static>>,
    /// When it ends itself.
    ends: SystemTime,
    /// What was signed, since when. Not by a clock that stands still while the machine sleeps.
    kept: Mutex<HashMap<String, (SystemTime, Arc<ServerConfig>)>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the files of `authority`, which is to stand for `hosts`, and what this machine trusts.
    ///
    /// # Errors
    /// `policy_invalid` where a file cannot be read or is not what it should be, where others may read the key, where the two do not
    /// belong together, or where the authority has expired or may not sign for one of `hosts`; `io_failed` where this machine trusts no
    /// certificate at all. The message says what to do.
    pub fn read(authority: &HttpAuthority, hosts: &[&str]) -> Result<Self, BridgeError> {
        let (certificate_path, key_path) = (Path::new(&authority.certificate), Path::new(&authority.key));
        let text = key_file::certificate(certificate_path)?;
        let certificate = of_pem(&text).ok_or_else(|| fault(certificate_path, "is no certificate in PEM"))?;
        let ends = check(&certificate).map_err(|why| fault(certificate_path, why))?;
        let (text, place) = key_file::key(key_path)?;
        // What the library says of a key that it does not read is not told: it may hold some of it.
        let key = KeyPair::from_pem(&text).map_err(|_| {
            fault(key_path, "is no private key that is taken: RSA from 2048 to 4096 bits, P-256, P-384 or Ed25519, in PKCS #8 without a password; `openssl pkcs8 -topk8 -nocrypt` makes that of other forms")
        })?;
        drop(text);
        let unusable = || fault(certificate_path, "cannot be signed for");
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| unusable())?;
        let provider = Arc::new(ring::default_provider());
        let roots = trust::of_this_machine()?;
        let client = trust::client(&roots, provider.clone()).map_err(|_| unusable())?;
        let own = Self {
            certificate,
            key_path: place,
            issuer,
            leaf_key: KeyPair::generate().map_err(|_| unusable())?,
            provider,
            client: Arc::new(client),
            roots,
            ends,
            kept: Mutex::default(),
        };
        for host in hosts {
            own.prove(host).ok_or_else(|| {
                let why = format!("does not prove {host} with the key in `{}`: take the two files that belong together, and an authority that may sign for that name", key_path.display());
                fault(certificate_path, &why)
            })?;
        }
        Ok(own)
    }

    /// Whether whoever trusts this authority takes what it signs for `host`.
    fn prove(&self, host: &str) -> Option<()> {
        let signed = leaf::sign(host, &self.leaf_key, &self.issuer).ok()?;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).ok()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build().ok()?;
        let name = ServerName::try_from(host).ok()?;
        verifier.verify_server_cert(&signed, &[], &name, &[], UnixTime::now()).ok().map(drop)
    }

    /// Where its key lies on the host, once links are followed: no place that a run may look at.
    pub fn key_path(&self) -> &Path {
        &self.key_path
    }

    /// Its certificate, in PEM.
    pub fn certificate(&self) -> String {
        pem::encode(&Pem::new(CERTIFICATE, self.certificate.as_ref()))
    }

    /// All that a run is to trust, in PEM: this authority, and what this machine trusts, since other hosts keep their own certificates.
    pub fn bundle(&self) -> String {
        let all = std::iter::once(&self.certificate).chain(&self.roots);
        pem::encode_many(&all.map(|one| Pem::new(CERTIFICATE, one.as_ref())).collect::<Vec<_>>())
    }

    /// How hosts are talked to.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// Whether it has ended since it was read.
    pub(super) fn has_ended(&self) -> bool {
        SystemTime::now() > self.ends
    }

    /// How a run is talked to that asked for `name`. Once in days, for each name that rules have, it takes some milliseconds.
    pub(super) fn server(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let now = SystemTime::now();
        // Anew long before it ends, and where the clock was set back.
        let holds = |since: &SystemTime| now.duration_since(*since).is_ok_and(|age| age < leaf::HOLDS / 2);
        if let Some((since, config)) = self.kept().get(name)
            && holds(since)
        {
            return Some(config.clone());
        }
        let config = Arc::new(self.fresh(name)?);
        let mut kept = self.kept();
        kept.retain(|_, (since, _)| holds(since));
        if kept.len() >= MOST_NAMES {
            kept.clear();
        }
        kept.insert(name.to_owned(), (now, config.clone()));
        Some(config)
    }

    fn fresh(&self, name: &str) -> Option<ServerConfig> {
        let signed = leaf::sign(name, &self.leaf_key, &self.issuer).ok()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let mut config = builder.ok()?.with_no_client_auth().with_single_cert(vec![signed], key).ok()?;
        // Whoever speaks HTTP/2 alone is told so before anything is sent.
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Some(config)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, (SystemTime, Arc<ServerConfig>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first certificate of a file.
fn of_pem(text: &str) -> Option<CertificateDer<'static>> {
    let all = pem::parse_many(text).ok()?;
    all.into_iter().find(|one| one.tag() == CERTIFICATE).map(|one| CertificateDer::from(one.into_contents()))
}

/// What proving by it does not look at: nobody asks of what is trusted whether it may be (RFC 5280, 4.2.1.9, 4.2.1.3, 4.1.2.5). When it ends.
fn check(certificate: &CertificateDer<'_>) -> Result<SystemTime, &'static str> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| "is no certificate that can be read")?;
    let constraints = parsed.basic_constraints().ok().flatten();
    let may_sign = constraints.is_some_and(|constraints| constraints.value.ca);
    let usage = parsed.key_usage().ok().flatten();
    if !may_sign || usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err("is the certificate of no authority: it may not sign others (basicConstraints CA:TRUE)");
    }
    // Libraries that build chains to the end find none in the first case, and OpenSSL takes no certificate of a server in the second.
    if parsed.issuer().as_raw() != parsed.subject().as_raw() {
        return Err(
            "is signed by another authority, where programs look for one that is trusted by itself; name one that signed itself",
        );
    }
    if parsed.extended_key_usage().ok().flatten().is_some_and(|usage| !usage.value.server_auth) {
        return Err("may not sign for servers (extendedKeyUsage without serverAuth); make one without that extension");
    }
    if !parsed.validity().is_valid() {
        return Err("does not hold now: it has expired, or begins later; make a new one");
    }
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    // A time that no clock can tell is never reached.
    Ok(UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or_else(|| SystemTime::now() + leaf::HOLDS))
}
