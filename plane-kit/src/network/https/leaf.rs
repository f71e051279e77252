//! Certificates of hosts, signed by an authority for as long as a run may need them.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a certificate holds. A clock inside that is a little behind takes it, too.
pub(super) const HOLDS: Duration = Duration::from_secs(7 * 24 * 3600);
const BACKDATED: Duration = Duration::from_secs(3600);
/// Longest common name (RFC 5280, upper bounds): longer names stand among the alternatives alone.
const LONGEST_COMMON_NAME: usize = 64;
/// Bytes of a serial number, of which RFC 5280, 4.1.2.2, allows 20.
const SERIAL: usize = 16;

/// A certificate of `key` for the host `name` alone, signed by `issuer` and good for nothing but being a server.
pub(super) fn sign(
    name: &str,
    key: &KeyPair,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<CertificateDer<'static>, Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    if name.len() <= LONGEST_COMMON_NAME {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now.saturating_add(HOLDS);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // By itself it would be that of the key, which all names share: no two certificates of one issuer may have the same.
    let mut serial = [0; SERIAL];
    getrandom::fill(&mut serial).map_err(|_| Error::RingUnspecified)?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params.signed_by(key, issuer)?.der().clone())
}
