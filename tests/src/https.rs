//! An HTTPS server of the host, with a certificate of its own that tests hand to programs.

use crate::scratch::Scratch;
use crate::skip;
use crate::tls_authority::TlsAuthority;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Greets whoever asks with the name that TLS was asked for, and first writes down what was asked.
const SERVER: &str = r#"
import http.server, ssl, sys
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_): pass
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(sys.argv[3], "a") as log: log.write(self.requestline + " " + body.decode("latin-1") + "\n")
        text = ("hello " + str(getattr(self.connection, "asked", None)) + "\n").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    do_POST = do_DELETE = do_PUT = do_GET
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.sni_callback = lambda connection, name, _: setattr(connection, "asked", name)
server = Server(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// The server, as long as the test lasts.
#[derive(Debug)]
pub struct Https {
    child: Child,
    port: u16,
    certificate: PathBuf,
    place: Scratch,
}

impl Https {
    /// A server for `names`; none, and a skip of the test, where there is nothing to make one with.
    ///
    /// # Panics
    /// Where it does not come up.
    #[expect(clippy::expect_used, reason = "a test without its server must fail loudly")]
    pub fn new(names: &[&str]) -> Option<Self> {
        let python = skip::python()?;
        skip::program("openssl")?;
        let place = Scratch::new();
        let (certificate, key) = (place.join("certificate.pem"), place.join("key.pem"));
        let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=test", "-addext", &format!("subjectAltName={}", alternatives.join(","))]);
        let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl starts");
        assert!(made.status.success(), "{made:?}");
        Some(Self::serving(place, &python, &certificate, &key))
    }

    /// A server for `names` whose certificate `authority` signed.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn of(authority: &TlsAuthority, names: &[&str]) -> Option<Self> {
        let python = skip::python()?;
        let place = Scratch::new();
        let (certificate, key) = authority.issue(&place, names);
        Some(Self::serving(place, &python, &certificate, &key))
    }

    /// The same, whose certificate has expired.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn expired(authority: &TlsAuthority, names: &[&str]) -> Option<Self> {
        let python = skip::python()?;
        let place = Scratch::new();
        let (certificate, key) = authority.issue_expired(&place, names);
        Some(Self::serving(place, &python, &certificate, &key))
    }

    #[expect(clippy::expect_used, reason = "a test without its server must fail loudly")]
    fn serving(place: Scratch, python: &str, certificate: &Path, key: &Path) -> Self {
        let log = place.write("requests", "");
        let mut server = Command::new(python);
        server.args(["-c", SERVER]).args([certificate, key, &log]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = server.spawn().expect("python3 starts");
        let mut line = String::new();
        let told = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
        told.expect("the server tells its port");
        let port = line.trim().parse().expect("a port");
        Self { child, port, certificate: certificate.to_owned(), place }
    }

    /// The requests that have arrived, a line with the body behind it each.
    pub fn arrived(&self) -> String {
        std::fs::read_to_string(self.place.join("requests")).unwrap_or_default()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificate, as PEM.
    ///
    /// # Panics
    /// When it is gone.
    #[expect(clippy::expect_used, reason = "a test without its certificate must fail loudly")]
    pub fn certificate(&self) -> String {
        std::fs::read_to_string(&self.certificate).expect("the certificate is there")
    }

    /// Options for `cofferdam run` by which port 443 of `name` leads here, and may be connected to.
    pub fn named(&self, name: &str) -> Vec<String> {
        let options =
            ["--resolve", &format!("{name}:443=127.0.0.1:{}", self.port), "--allow-net", &format!("{name}:443")];
        let dialled = ["--allow-net", &format!("localhost:{}", self.port)];
        options.into_iter().chain(dialled).map(str::to_owned).collect()
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
