//! Sends what was collected, by HTTP, and remembers whether it arrived.

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ureq::http::Uri;
use ureq::{Agent, Error};

/// As much of an answer is read; a collector has little to say.
const LONGEST_ANSWER: u64 = 64 << 10;

/// How the last request of one signal went.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    /// Where nothing arrived, and why, if that is how it went.
    pub(super) fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// Sends by the library that actions fetch with, which needs no runtime: the exporters have threads of their own, which may wait.
#[derive(Debug)]
pub(super) struct Sender {
    agent: Agent,
    last: LastFailure,
}

impl Sender {
    /// A sender whose requests take no longer than `timeout`. It follows no redirect: what goes to a collector goes nowhere else.
    pub(super) fn new(timeout: Duration, last: LastFailure) -> Self {
        let config = Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0).http_status_as_error(false);
        Self { agent: config.build().new_agent(), last }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let place = place(request.uri());
        let (parts, body) = request.into_parts();
        let mut response = self.agent.run(Request::from_parts(parts, body.as_ref())).inspect_err(|error| {
            self.last.set(Some(format!("{place}: {}", why(error))));
        })?;
        let status = response.status();
        let answer = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        self.last.set((!status.is_success()).then(|| format!("{place}: it answered {status}")));
        let mut answered = Response::new(Bytes::from(answer.unwrap_or_default()));
        *answered.status_mut() = status;
        *answered.headers_mut() = response.headers().clone();
        Ok(answered)
    }
}

/// Written out as the trait's macro has it.
impl HttpClient for Sender {
    fn send_bytes<'own, 'future>(
        &'own self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'own: 'future,
        Self: 'future,
    {
        Box::pin(ready(self.send(request)))
    }
}

/// Host and port. An address may hold a name and a password before them, and a token behind.
fn place(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", uri.host().unwrap_or("its collector"))
}

/// Why a request came to nothing, without anything of the request.
fn why(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::Tls(_) | Error::Rustls(_) => "it does not prove who it is (TLS)".to_owned(),
        Error::InvalidProxyUrl => "the proxy of the environment is no address".to_owned(),
        _ => "the request could not be made".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_is_told_without_what_may_be_a_secret() {
        let uri = "https://me:hunter2@collector.example:4318/v1/traces?token=hunter2".parse().unwrap();
        assert_eq!(place(&uri), "collector.example:4318");
    }
}
