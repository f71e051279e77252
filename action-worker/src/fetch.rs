//! Fetches something over HTTP.

use crate::fault;
use cofferdam_bridge::action::{HttpFetch, HttpFetched, HttpMethod};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error, SendBody};

/// What programs look for their certificates by.
const TRUSTED: &str = "SSL_CERT_FILE";

pub(crate) fn fetch(asked: &HttpFetch) -> Result<HttpFetched, BridgeError> {
    if asked.most > HttpFetch::MOST {
        return Err(fault::invalid(format!("at most {} bytes are taken of an answer", HttpFetch::MOST)));
    }
    let sends = matches!(asked.method, HttpMethod::Post | HttpMethod::Put | HttpMethod::Patch);
    let body = match &asked.body {
        None => None,
        Some(_) if !sends => return Err(fault::invalid("a body is sent with POST, PUT and PATCH alone")),
        Some(body) => Some(body.decode().ok_or_else(|| fault::invalid("`body.base64` is no base64 with padding"))?),
    };
    // A status is an answer; a redirection leads elsewhere, which is decided anew; a proxy would be another place than the one that was
    // decided about.
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .tls_config(TlsConfig::builder().root_certs(trusted()?).build())
        .build()
        .into();
    let mut request = Request::builder().method(asked.method.as_str()).uri(&asked.url);
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    // What the library says of a fault may quote headers.
    let invalid = |_| fault::invalid("`url` is no URL, or a header is none");
    let body = if sends {
        SendBody::from_owned_reader(std::io::Cursor::new(body.unwrap_or_default()))
    } else {
        SendBody::none()
    };
    let answer = agent.run(request.body(body).map_err(invalid)?).map_err(|error| failed(&error))?;
    let (parts, body) = answer.into_parts();
    let mut bytes = Vec::new();
    let read = body.into_reader().take(asked.most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| failed(&Error::Io(error)))?;
    let most = usize::try_from(asked.most).unwrap_or(usize::MAX);
    let complete = bytes.len() <= most;
    bytes.truncate(most);
    Ok(HttpFetched::new(parts.status.as_u16(), headers(&parts.headers), bytes, complete))
}

/// Whom it trusts: the file that `SSL_CERT_FILE` names, as other programs of the sandbox do (it holds the policy's own authority, where rules
/// are about requests inside TLS), and the list that comes with the program where it names none.
fn trusted() -> Result<RootCerts, BridgeError> {
    let Some(path) = std::env::var_os(TRUSTED).filter(|path| !path.is_empty()) else { return Ok(RootCerts::WebPki) };
    let unreadable = || {
        BridgeError::new(
            ErrorCode::IoFailed,
            "nothing was fetched: SSL_CERT_FILE names no file of certificates that can be read",
        )
    };
    let text = std::fs::read(path).map_err(|_| unreadable())?;
    // What is no certificate is passed over, as elsewhere; a file without any trusts nobody.
    let certificates = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() { Err(unreadable()) } else { Ok(RootCerts::Specific(Arc::new(certificates))) }
}

fn headers(all: &HeaderMap) -> BTreeMap<String, String> {
    let mut told = BTreeMap::<String, String>::new();
    for (name, value) in all {
        let Ok(value) = value.to_str() else { continue };
        let joined = told.entry(name.as_str().to_owned()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    told
}

fn failed(error: &Error) -> BridgeError {
    let why = match error {
        Error::HostNotFound => "the name of the host is not known inside",
        Error::BadUri(_) | Error::Http(_) => return fault::invalid("`url` is no URL that can be fetched"),
        Error::Tls(_) | Error::Rustls(_) => {
            "no secure connection could be made: the other side's certificate or protocol is not accepted"
        }
        Error::Timeout(_) => "the other side did not answer in time",
        Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "nobody listens there",
            std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::PermissionDenied => {
                "the sandbox has no network that leads there; the policy's [network] says what may be reached"
            }
            _ => "the connection failed",
        },
        _ => "the connection failed or the answer is not HTTP",
    };
    BridgeError::new(ErrorCode::IoFailed, format!("nothing was fetched: {why}"))
}
