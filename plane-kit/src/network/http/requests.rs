//! One connection's requests, one after another.

use super::super::head_end::HeadEnd;
use super::body::Body;
use super::head;
use cofferdam_bridge::network_rules::HttpRules;
use cofferdam_bridge::profile::HttpScheme;

/// Longest method and path that are told of in a refusal, in bytes: both are ASCII.
const LONGEST_TOLD: (usize, usize) = (32, 256);

/// What a run sends on one connection. Every request of it is decided about, the first as the last.
#[derive(Debug)]
pub struct Requests {
    host: String,
    port: u16,
    rules: HttpRules,
    body: Body,
    /// Whether the one whose body that is, or was, is the last of its connection.
    last: bool,
    /// The beginning of a head that is not whole yet.
    pending: Vec<u8>,
    /// What is known of it.
    head_end: HeadEnd,
    /// What has ended it: nothing that comes afterwards is read.
    refused: Option<Refusal>,
}

/// Why nothing more is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No rule lets this request through.
    NotAllowed {
        /// Its method.
        method: String,
        /// Its path, without the query.
        path: String,
        /// Whether both are told whole. A beginning of a path may stand for a folder, and opens more than what was asked for.
        whole: bool,
    },
    /// It cannot be decided about, for this reason.
    Unreadable(&'static str),
}

impl Requests {
    /// Those to `port` of `host`, by `rules` about these.
    pub fn new(host: &str, port: u16, rules: HttpRules) -> Self {
        let head_end = HeadEnd::new(head::LONGEST);
        Self {
            host: host.to_owned(),
            port,
            rules,
            body: Body::Ended,
            last: false,
            pending: Vec::new(),
            head_end,
            refused: None,
        }
    }

    /// What they go over.
    pub fn scheme(&self) -> HttpScheme {
        self.rules.scheme()
    }

    /// Takes what came, and adds to `passed` what may be handed on of it, and of what came before. What comes after a request with a body is
    /// not looked at, and not handed on.
    ///
    /// # Errors
    /// Why the connection ends here. What stands in `passed` may still be handed on.
    pub fn take(&mut self, bytes: &[u8], passed: &mut Vec<u8>) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        self.pending.extend_from_slice(bytes);
        let outcome = self.take_pending(passed);
        self.refused = outcome.clone().err();
        outcome
    }

    fn take_pending(&mut self, passed: &mut Vec<u8>) -> Result<(), Refusal> {
        loop {
            let taken = self.body.take(&self.pending).map_err(Refusal::Unreadable)?;
            passed.extend(self.pending.drain(..taken.min(self.pending.len())));
            if self.pending.is_empty() || self.body != Body::Ended {
                return Ok(());
            }
            if self.last {
                self.pending.clear();
                return Ok(());
            }
            if !self.head_end.is_due(&self.pending) {
                return Ok(());
            }
            let head =
                head::read(&self.pending, &self.host, (self.port, self.scheme())).map_err(Refusal::Unreadable)?;
            let Some(head) = head else { return Ok(()) };
            let own_name = head.own_name.as_deref();
            if self.rules.request(own_name, &head.method, &head.path).is_none() {
                let refusal = not_allowed(&head.method, &head.path);
                return Err(if self.rules.host_is(own_name) { refusal } else { refusal.told_in_part() });
            }
            let lines = self.pending.drain(..head.length.min(self.pending.len()));
            self.last = head.body != Body::Ended;
            if self.last {
                head::closing(lines.as_slice(), passed);
            } else {
                passed.extend(lines);
            }
            self.head_end = HeadEnd::new(head::LONGEST);
            self.body = head.body;
        }
    }

    /// Whether the last request of the connection has come, with its head at least.
    pub fn has_last(&self) -> bool {
        self.last
    }

    /// Whether what has come so far ends between two requests.
    pub fn is_whole(&self) -> bool {
        self.pending.is_empty() && self.body == Body::Ended
    }
}

impl Refusal {
    /// The same, of which no line is proposed.
    fn told_in_part(self) -> Self {
        match self {
            Self::NotAllowed { method, path, .. } => Self::NotAllowed { method, path, whole: false },
            other => other,
        }
    }
}

fn not_allowed(method: &str, path: &str) -> Refusal {
    let (of_method, of_path) = LONGEST_TOLD;
    let whole = method.len() <= of_method && path.len() <= of_path;
    let (method, path) = (method.chars().take(of_method).collect(), path.chars().take(of_path).collect());
    Refusal::NotAllowed { method, path, whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::profile::{HttpRule, NetworkProfile};
    use cofferdam_bridge::verdict::RuleRef;

    fn requests() -> Requests {
        let mut profile = NetworkProfile::default();
        let methods = vec!["GET".to_owned(), "POST".to_owned()];
        profile.http.push(HttpRule::new(methods, "a.test", 80, "/v1", RuleRef::new("t", None, "t")));
        Requests::new("a.test", 80, HttpRules::new(&profile).of("a.test", 80).unwrap())
    }

    const GET: &str = "GET /v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

    #[test]
    fn net_23_each_request_of_a_connection_is_decided_about() {
        let empty = "POST /v1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n";
        let fine = [GET, empty, GET].concat();
        let bad = format!("{fine}GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
        for step in [1, 2, 7, 64, 1000] {
            let (mut requests, mut passed) = (requests(), Vec::new());
            let outcome: Result<(), Refusal> =
                bad.as_bytes().chunks(step).try_for_each(|part| requests.take(part, &mut passed));
            let refusal = Refusal::NotAllowed { method: "GET".to_owned(), path: "/other".to_owned(), whole: true };
            assert_eq!(outcome, Err(refusal), "{step}");
            assert_eq!(String::from_utf8_lossy(&passed), fine, "{step}");
        }
    }

    #[test]
    fn net_22_a_request_with_a_body_says_that_it_is_the_last_and_is() {
        let closed = [
            ("Content-Length: 4\r\n", "body", "Content-Length: 4\r\nConnection: close\r\n"),
            (
                "Transfer-Encoding: chunked\r\nX: y\r\n",
                "3\r\nabc\r\n0\r\n\r\n",
                "Transfer-Encoding: chunked\r\nX: y\r\nConnection: close\r\n",
            ),
            (
                "connection:keep-alive\r\nContent-Length: 1\r\nConnection: close , te\r\nTE: trailers\r\n",
                "x",
                "Content-Length: 1\r\nConnection: close\r\n",
            ),
        ];
        for (fields, body, passing) in closed {
            let sent = |fields: &str| format!("{GET}POST /v1 HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{body}");
            for after in ["", GET, "GET /other HTTP/1.1\r\n", "\0"] {
                for step in [1, 3, 1000] {
                    let (mut requests, mut passed) = (requests(), Vec::new());
                    let all = sent(fields) + after;
                    all.as_bytes().chunks(step).for_each(|part| requests.take(part, &mut passed).unwrap());
                    assert_eq!(String::from_utf8_lossy(&passed), sent(passing), "{step}");
                    assert!(requests.has_last() && requests.is_whole());
                }
            }
            // What was handed on says the same again.
            let (mut requests, mut passed) = (requests(), Vec::new());
            requests.take(sent(passing).as_bytes(), &mut passed).unwrap();
            assert_eq!(String::from_utf8_lossy(&passed), sent(passing));
        }
    }

    #[test]
    fn what_is_told_of_a_request_has_a_bound() {
        let told = |method: &str, path: &str| {
            let text = format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            match requests().take(text.as_bytes(), &mut Vec::new()) {
                Err(Refusal::NotAllowed { method, path, whole }) => (method.len(), path.len(), whole),
                other => panic!("{other:?}"),
            }
        };
        let path = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert_eq!(told(&"A".repeat(32), &path(256)), (32, 256, true));
        assert_eq!(told(&"A".repeat(33), "/x"), (32, 2, false));
        assert_eq!(told(&"A".repeat(30_000), "/x"), (32, 2, false));
        assert_eq!(told("GET", &path(257)), (3, 256, false));
    }

    #[test]
    fn net_22_a_request_in_a_body_is_a_body_and_one_behind_it_is_none() {
        // What the first of two servers takes for a body, a second must not take for a request: both lengths are refused.
        let smuggled = "GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let (mut requests, mut passed) = (requests(), Vec::new());
        let text = format!("POST /v1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
        requests.take(text.as_bytes(), &mut passed).unwrap();
        assert!(passed.ends_with(smuggled.as_bytes()) && requests.is_whole());
        requests.take(smuggled.as_bytes(), &mut passed).unwrap();
        assert!(requests.has_last() && String::from_utf8_lossy(&passed).matches(smuggled).count() == 1);
        let both = format!(
            "POST /v1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        );
        let (mut requests, mut passed) = (self::requests(), Vec::new());
        assert!(matches!(requests.take(both.as_bytes(), &mut passed), Err(Refusal::Unreadable(_))));
        assert!(passed.is_empty());
    }
}
