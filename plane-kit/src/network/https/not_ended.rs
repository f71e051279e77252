//! Why TLS does not come about, in words of our own: what the other side says of it may be long, and is no sentence.

use rustls::{AlertDescription, CertificateError};
use std::io::{self, ErrorKind};
use tokio::net::TcpStream;

/// Why there is no TLS.
#[derive(Debug)]
pub(super) enum NotEnded {
    /// It is told.
    Refused(Box<Refused>),
    /// It broke, or took too long.
    Broken,
}

/// What is told.
#[derive(Debug)]
pub(super) struct Refused {
    /// A sentence.
    pub(super) why: String,
    /// Whether the real host says that it would go on if nobody looked inside. What a program says of that is no reason to look no more.
    pub(super) goes_by_itself: bool,
    /// The connection, if nothing has been answered yet: who asked is found by it.
    pub(super) stream: Option<TcpStream>,
}

impl NotEnded {
    /// For a reason that is there whether or not somebody looks inside, or one that the program alone has given.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refused { why: why.into(), goes_by_itself: false, stream: None }))
    }

    /// For one that the real host gives, and that is there only since somebody looks inside.
    fn by_looking(why: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refused { why: why.into(), goes_by_itself: true, stream: None }))
    }

    /// For an end before anything was asked. Programs that look at certificates when TLS is there already say nothing in TLS.
    pub(super) fn unasked() -> Self {
        Self::refused(
            "the program asked for nothing when it had seen the certificate, as Node.js does where it does not take the certificate of the policy's authority, which it finds by NODE_EXTRA_CA_CERTS and SSL_CERT_FILE",
        )
    }

    /// With a connection on which nothing has been answered yet.
    pub(super) fn of(mut self, stream: TcpStream) -> Self {
        if let Self::Refused(refused) = &mut self {
            refused.stream = Some(stream);
        }
        self
    }
}

/// What is TLS's own of an error.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A program did not take what it was offered.
pub(super) fn by_program(error: &io::Error) -> NotEnded {
    let distrusts = [
        AlertDescription::UnknownCA,
        AlertDescription::BadCertificate,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::DecryptError,
    ];
    match tls_error(error) {
        Some(rustls::Error::NoApplicationProtocol) => {
            NotEnded::refused("its TLS offers another protocol than HTTP/1.1, which is the one that is read")
        }
        Some(rustls::Error::AlertReceived(alert)) if distrusts.contains(alert) => NotEnded::refused(
            "the program did not take the certificate of the policy's authority, which it finds by SSL_CERT_FILE and NODE_EXTRA_CA_CERTS",
        ),
        // Gone once it had seen the certificate.
        None if [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]
            .contains(&error.kind()) =>
        {
            NotEnded::unasked()
        }
        _ => NotEnded::Broken,
    }
}

/// The host `name` is not who it should be, or speaks otherwise.
pub(super) fn by_host(error: &io::Error, name: &str) -> NotEnded {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => NotEnded::refused(format!(
            "this machine does not trust the certificate of {name}: {}",
            why_not_trusted(why)
        )),
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            NotEnded::by_looking(format!("{name} takes other protocols than HTTP/1.1, which is the one that is read"))
        }
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => NotEnded::by_looking(format!(
            "{name} asks for a certificate of whoever connects, and the supervisor has none"
        )),
        _ => NotEnded::Broken,
    }
}

fn why_not_trusted(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => "nobody whom it trusts has signed it",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it does not hold yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "it is for other names",
        CertificateError::Revoked => "it was taken back",
        CertificateError::BadSignature => "its signature is none",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is for something else than being a server"
        }
        _ => "it is not as certificates of servers are to be",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;

    #[test]
    fn what_a_certificate_says_of_itself_is_not_told() {
        let error = rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.test").unwrap(),
            presented: vec!["x\x1b[2J".repeat(10_000)],
        });
        let NotEnded::Refused(told) = by_host(&io::Error::other(error), "a.test") else { panic!("it is told") };
        assert_eq!(told.why, "this machine does not trust the certificate of a.test: it is for other names");
        assert!(!told.goes_by_itself);
    }

    #[test]
    fn what_a_program_does_is_no_reason_to_look_no_more() {
        let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        let told = |why| match why {
            NotEnded::Refused(told) => told.goes_by_itself,
            NotEnded::Broken => panic!("it is told"),
        };
        for error in [
            alert(AlertDescription::UnknownCA),
            alert(AlertDescription::CertificateUnknown),
            io::Error::other(rustls::Error::NoApplicationProtocol),
            ErrorKind::UnexpectedEof.into(),
            ErrorKind::ConnectionReset.into(),
        ] {
            assert!(!told(by_program(&error)), "{error}");
        }
        assert!(!told(NotEnded::unasked()));
        for said in [AlertDescription::NoApplicationProtocol, AlertDescription::CertificateRequired] {
            assert!(told(by_host(&alert(said), "a.test")), "{said:?}");
        }
    }
}
