//! A certificate authority of a test's own.

use crate::scratch::Scratch;
use crate::skip;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its certificate and key, as long as the test lasts.
#[derive(Debug)]
pub struct TlsAuthority {
    place: Scratch,
}

const OF_AUTHORITIES: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
const CURVE: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

impl TlsAuthority {
    /// One of that name; none, and a skip of the test, where there is nothing to make one with.
    pub fn new(name: &str) -> Option<Self> {
        Self::with(name, &[])
    }

    /// The same with further extensions, as openssl writes them.
    pub fn with(name: &str, extensions: &[&str]) -> Option<Self> {
        skip::program("openssl")?;
        let own = Self { place: Scratch::new() };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")]).args(CURVE);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign"]);
        openssl.args(extensions.iter().flat_map(|extension| ["-addext", extension]));
        done(openssl.arg("-keyout").arg(own.key()).arg("-out").arg(own.certificate()));
        own.let_others(0o600);
        Some(own)
    }

    /// Where its certificate is.
    pub fn certificate(&self) -> PathBuf {
        self.place.join("authority.pem")
    }

    /// Where its key is, which its user alone may read.
    pub fn key(&self) -> PathBuf {
        self.place.join("authority.key")
    }

    /// Gives its key other rights.
    ///
    /// # Panics
    /// Where that cannot be done.
    #[expect(clippy::expect_used, reason = "a test without its file must fail loudly")]
    pub fn let_others(&self, mode: u32) {
        std::fs::set_permissions(self.key(), Permissions::from_mode(mode)).expect("it is ours");
    }

    /// The line of a policy that names it.
    pub fn line(&self) -> String {
        let (certificate, key) = (self.certificate(), self.key());
        format!("http_authority = {{ certificate = {certificate:?}, key = {key:?} }}")
    }

    /// A certificate for `names`, signed by it, and its key, both in `place`.
    pub fn issue(&self, place: &Scratch, names: &[&str]) -> (PathBuf, PathBuf) {
        self.issue_with(place, &server_of(names))
    }

    /// The same for another authority.
    pub fn issue_authority(&self, place: &Scratch) -> (PathBuf, PathBuf) {
        self.issue_with(place, OF_AUTHORITIES)
    }

    fn issue_with(&self, place: &Scratch, extensions: &str) -> (PathBuf, PathBuf) {
        let (certificate, key, asked) = asked(place);
        let more = place.write("leaf.txt", extensions);
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-days", "2", "-set_serial", "7", "-in"]).arg(asked);
        openssl.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.key());
        done(openssl.arg("-extfile").arg(more).arg("-out").arg(&certificate));
        (certificate, key)
    }

    /// The same, but it expired years ago.
    pub fn issue_expired(&self, place: &Scratch, names: &[&str]) -> (PathBuf, PathBuf) {
        let (certificate, key, asked) = asked(place);
        let mut signed = in_the_past(place, &server_of(names));
        signed.arg("-cert").arg(self.certificate()).arg("-keyfile").arg(self.key());
        done(signed.arg("-in").arg(asked).arg("-out").arg(&certificate));
        (certificate, key)
    }

    /// The files of an authority in `place` that expired years ago.
    pub fn expired(place: &Scratch) -> (PathBuf, PathBuf) {
        let (certificate, key, asked) = asked(place);
        let mut signed = in_the_past(place, OF_AUTHORITIES);
        done(signed.arg("-selfsign").arg("-keyfile").arg(&key).arg("-in").arg(asked).arg("-out").arg(&certificate));
        (certificate, key)
    }

    /// The words of its key, as they stand in the file: what must be found nowhere.
    ///
    /// # Panics
    /// When it is gone.
    #[expect(clippy::expect_used, reason = "a test without its key must fail loudly")]
    pub fn secrets(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.key()).expect("the key is there");
        text.lines().filter(|line| !line.starts_with('-')).map(str::to_owned).collect()
    }

    /// Its secret number, as a library has it in memory: the 32 bytes of an octet string (RFC 5915, 3) of that length, which is the first in
    /// such a key (RFC 5208).
    ///
    /// # Panics
    /// When it is gone, or is no such key.
    #[expect(clippy::expect_used, reason = "a test without its key must fail loudly")]
    pub fn secret_number(&self) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]).arg(self.key()).output();
        let bytes = output.expect("openssl starts").stdout;
        let at = bytes.windows(2).position(|pair| pair == [4, 32]).expect("an octet string of 32 bytes");
        bytes.get(at + 2..at + 34).expect("it is whole").to_vec()
    }
}

/// Where a certificate is to be, its key, and what asks for it, in `place`.
fn asked(place: &Scratch) -> (PathBuf, PathBuf, PathBuf) {
    let (certificate, key, asked) = (place.join("leaf.pem"), place.join("leaf.key"), place.join("leaf.csr"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-nodes", "-subj", "/CN=leaf"]).args(CURVE);
    done(openssl.arg("-keyout").arg(&key).arg("-out").arg(&asked));
    (certificate, key, asked)
}

fn server_of(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    format!("subjectAltName={}\nextendedKeyUsage=serverAuth\n", names.join(","))
}

/// What signs something that held for the year 2020 alone.
fn in_the_past(place: &Scratch, extensions: &str) -> Command {
    let folder = place.path().display();
    place.write("index.txt", "");
    place.write("serial", "07\n");
    let own =
        format!("database={folder}/index.txt\nserial={folder}/serial\nnew_certs_dir={folder}\ndefault_md=sha256\n");
    let settings = format!("[ca]\ndefault_ca=own\n[own]\n{own}policy=any\n[any]\ncommonName=supplied\n");
    let mut openssl = Command::new("openssl");
    openssl.args(["ca", "-batch", "-notext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]);
    openssl.arg("-config").arg(place.write("ca.txt", &settings));
    openssl.arg("-extfile").arg(place.write("more.txt", extensions));
    openssl
}

#[track_caller]
#[expect(clippy::expect_used, reason = "a test without its certificates must fail loudly")]
fn done(command: &mut Command) {
    let output = command.output().expect("openssl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where programs of the host find what they trust, for commands that are to trust another authority.
pub const TRUSTED: &str = "SSL_CERT_FILE";

/// `command`, whose machine trusts `authority` alone.
pub fn trusting<'a>(command: &'a mut Command, authority: &Path) -> &'a mut Command {
    command.env(TRUSTED, authority).env_remove("SSL_CERT_DIR")
}
