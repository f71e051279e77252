//! Both ends of TLS: a run's, by a certificate of the authority, and a host's, by what this machine trusts. Each takes
//! so long at most and waits for nothing but its own other side, so that who does not come to an end holds up nobody.

use super::Authority;
use super::not_ended::{NotEnded, by_host, by_program, tls_error};
use cofferdam_bridge::network_rules::canonical_name;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

/// How long the first message of a run may take.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the rest of a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(20);

/// What one run's network ends TLS by.
#[derive(Debug)]
pub struct Ending {
    authority: Arc<Authority>,
}

impl Ending {
    /// By `authority`.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    /// Ends the TLS of a run that connected to `name`, and asks for it, and no other.
    pub(super) async fn of_run(&self, stream: TcpStream, name: &str) -> Result<server::TlsStream<TcpStream>, NotEnded> {
        let hello = timeout(LONGEST_WAIT, LazyConfigAcceptor::new(Acceptor::default(), stream)).await;
        let start = hello.map_err(|_| NotEnded::Broken)?.map_err(|error| match tls_error(&error) {
            Some(_) => NotEnded::refused("what was sent is not TLS that could be looked into"),
            None => NotEnded::Broken,
        })?;
        // What is encrypted of it is not taken here, and so says nothing.
        let asked = start.client_hello().server_name().map(str::to_owned);
        if asked.as_deref().and_then(canonical_name).as_deref() != Some(name) {
            let why = match asked {
                Some(other) => format!("the connection was for {name}, and its TLS asked for {other}"),
                None => "its TLS asked for no name".to_owned(),
            };
            return Err(NotEnded::refused(why).of(start.io));
        }
        if self.authority.has_ended() {
            let why = "the policy's authority has expired meanwhile; make a new one, and start again";
            return Err(NotEnded::refused(why).of(start.io));
        }
        let config = self.authority.server(name).ok_or(NotEnded::Broken)?;
        let ended = timeout(LONGEST_HANDSHAKE, start.into_stream(config)).await.map_err(|_| NotEnded::Broken)?;
        ended.map_err(|error| by_program(&error))
    }

    /// Begins TLS with the host `name`, and looks at its certificate.
    pub(super) async fn of_host(
        &self,
        stream: TcpStream,
        name: &str,
    ) -> Result<client::TlsStream<TcpStream>, NotEnded> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| NotEnded::Broken)?;
        let begun = TlsConnector::from(self.authority.client()).connect(server, stream);
        let begun = timeout(LONGEST_HANDSHAKE, begun).await.map_err(|_| NotEnded::Broken)?;
        begun.map_err(|error| by_host(&error, name))
    }
}
