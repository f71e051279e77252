//! What the broker has to tell at the end: what it refused, and what another tool may execute later.

use super::caller::program_of;
use super::remedy;
use cofferdam_bridge::policy_line::path_line;
use cofferdam_bridge::profile::PathEffect;
use cofferdam_bridge::verdict::{Denial, RuleRef};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a connection is called.
const DIRECT: &str = "network.connect";
/// What listening, and binding to a port for it, is called.
const LISTEN: &str = "network.listen";

/// As many ports as are told that a program may not listen on: some try one after the other.
const MOST_PORTS: usize = 8;

/// As many distinct refusals as a report holds.
const MOST_DENIALS: usize = 64;

/// As many as it holds where everything is explained.
const MOST_EXPLAINED: usize = 512;

/// As many files as a report holds.
const MOST_FILES: usize = 256;

/// Gathered over one execution. Each refusal is told once, however often it happened.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What was refused.
    pub(crate) denials: Vec<Denial>,
    /// Files made or changed that may be executed later.
    pub(crate) executable_later: BTreeSet<String>,
}

impl Findings {
    /// Notes that `thread` was refused `access` to `subject`.
    pub(crate) fn refused(&mut self, thread: i32, access: &str, path: &Path, rule: Option<(PathEffect, RuleRef)>) {
        let subject = &*told(path);
        let known = |denial: &Denial| denial.access == access && denial.subject == subject;
        if self.denials.len() >= MOST_DENIALS || self.denials.iter().any(known) {
            return;
        }
        let mut denial = Denial::new(access, subject);
        (denial.remedy, denial.secret) = remedy(access, path, rule.as_ref());
        denial.rule = rule.map(|(_, rule)| rule);
        denial.program = program_of(thread);
        self.denials.push(denial);
    }

    /// Notes that the host was asked about `path` for `thread`, and that it may not be: `why`, as part of a sentence.
    pub(crate) fn asked(&mut self, thread: i32, access: &str, path: &Path, rule: RuleRef, why: &str) {
        let known = self.denials.len();
        self.refused(thread, access, path, None);
        if let Some(denial) = self.denials.get_mut(known) {
            denial.rule = Some(rule);
            denial.note = Some(why.to_owned());
        }
    }

    /// Adds what was explained afterwards. What is known of the same subject already gets what was found out about it.
    pub(crate) fn explained(&mut self, denials: Vec<Denial>) {
        // What no rule refuses was looked into once more: of that only what would have come to something outside is left.
        self.denials
            .retain(|known| known.rule.is_some() || ["socket.connect", DIRECT, LISTEN].contains(&&*known.access));
        let own = self.denials.len();
        for denial in denials {
            let leads = |one: &Denial, other: &Denial| one.resolved.as_ref() == Some(&other.subject);
            let same = |known: &&mut Denial| {
                known.access == denial.access && (known.subject == denial.subject || leads(&denial, known))
            };
            let room = self.denials.len() < MOST_EXPLAINED;
            match self.denials.iter_mut().take(own).find(same) {
                Some(known) if denial.rule.is_some() => *known = denial,
                // The broker knows a rule that the path alone does not tell: that one stays.
                Some(known) => {
                    let (rule, remedy, secret) = (known.rule.take(), known.remedy.take(), known.secret);
                    *known = denial;
                    (known.rule, known.remedy, known.secret, known.note) = (rule, remedy, secret, None);
                }
                None if room => self.denials.push(denial),
                None => {}
            }
        }
    }

    /// Notes that `thread` was kept from a socket that somebody outside bound. No rule opens it.
    pub(crate) fn foreign_socket(&mut self, thread: i32, path: &Path) {
        self.refused(thread, "socket.connect", path, None);
        if let Some(denial) = self.denials.last_mut().filter(|denial| denial.access == "socket.connect") {
            denial.remedy = None;
            denial.note = Some("a service of the host listens there; no rule lets a run reach it".to_owned());
        }
    }

    /// Notes that `thread` wanted to be connected to `address` itself, where hosts are reached by the run's proxy alone.
    pub(crate) fn direct_connection(&mut self, thread: i32, address: SocketAddr) {
        let subject = address.to_string();
        let known = |denial: &Denial| denial.access == DIRECT && denial.subject == subject;
        if self.denials.len() >= MOST_DENIALS || self.denials.iter().any(known) {
            return;
        }
        let mut denial = Denial::new(DIRECT, subject);
        denial.program = program_of(thread);
        denial.note = Some(
            "without namespaces hosts are reached through the proxy that HTTPS_PROXY and its like name, and this program went another way"
                .to_owned(),
        );
        self.denials.push(denial);
    }

    /// Notes that `thread` wanted to listen on `port`, where a run listens on what the policy publishes; none: on one of the system's choice.
    /// `taken`: the policy names hosts on it, so that it cannot be published.
    pub(crate) fn not_published(&mut self, thread: i32, port: Option<u16>, taken: bool) {
        let subject = port.map_or_else(|| "a port of the system's choice".to_owned(), |port| port.to_string());
        let ports = || self.denials.iter().filter(|denial| denial.access == LISTEN);
        let known = ports().any(|denial| denial.subject == subject) || ports().count() >= MOST_PORTS;
        if self.denials.len() >= MOST_DENIALS || known {
            return;
        }
        let mut denial = Denial::new(LISTEN, subject);
        denial.program = program_of(thread);
        denial.remedy = port.filter(|_| !taken).map(|port| format!("network.listen = [{port}]"));
        denial.note = Some(match port {
            Some(_) if taken => "network.allow names hosts on this port, so that it cannot be published; let the program listen on another".to_owned(),
            Some(_) => "without namespaces a run listens on ports that the policy publishes on this machine's loopback".to_owned(),
            None => "without namespaces a run listens on ports that network.listen publishes, after it has bound one of them".to_owned(),
        });
        self.denials.push(denial);
    }

    /// Notes a file that may be executed later.
    pub(crate) fn executable(&mut self, path: &Path) {
        // A directory that is listed stands for what is in it.
        let stands = |above: &Path| above.to_str().is_some_and(|above| self.executable_later.contains(above));
        if self.executable_later.len() < MOST_FILES && !path.ancestors().any(stands) {
            self.executable_later.insert(told(path).into_owned());
        }
    }
}

/// A path as a report tells it: bytes that are no text are told by number, so that two such names are not told as one.
pub(super) fn told(path: &Path) -> Cow<'_, str> {
    let bytes = path.as_os_str().as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 6);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    Cow::Owned(text)
}

/// The line that allows `path`, and whether that opens a secret.
fn remedy(access: &str, path: &Path, rule: Option<&(PathEffect, RuleRef)>) -> (Option<String>, bool) {
    // A path that is no text can be said by no line.
    let line = || path.to_str().and_then(|path| path_line(access, path));
    match rule {
        Some((PathEffect::Protect, rule)) => (Some(remedy::unprotect(rule, &told(path))), false),
        // A secret is shown to whoever names the very file.
        Some((_, rule)) if remedy::is_secret(rule) => (line(), true),
        Some((_, rule)) => (Some(remedy::removal(rule)), false),
        None => (line(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fs_31_names_that_are_no_text_are_told_apart() {
        use std::ffi::OsStr;
        let told = |bytes: &[u8]| told(Path::new(OsStr::from_bytes(bytes))).into_owned();
        assert_eq!(told(b"/w/a\xff\xfe.env"), "/w/a\\xff\\xfe.env");
        assert_ne!(told(b"/w/\xff"), told(b"/w/\xfe"));
        assert_eq!(told("/w/é\n".as_bytes()), "/w/é\n");
    }

    #[test]
    fn what_happens_often_is_told_once_and_not_without_end() {
        let mut findings = Findings::default();
        for number in 0..1000 {
            findings.refused(1, "filesystem.write", Path::new("/w/same"), None);
            findings.refused(1, "filesystem.write", Path::new(&format!("/w/{number}")), None);
        }
        assert_eq!(findings.denials.len(), MOST_DENIALS);
        assert_eq!(findings.denials[0].remedy.as_deref(), Some("filesystem.write = [\"/w/same\"]"));
    }
}
