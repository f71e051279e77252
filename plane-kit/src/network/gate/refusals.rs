//! What is told of what a run was refused.

use super::super::address_book::MOST_NAMES;
use super::super::http::Refusal;
use super::{Gate, Target, lock};
use cofferdam_bridge::address_class::AddressClass;
use cofferdam_bridge::network_rules::{canonical_name, canonical_path};
use cofferdam_bridge::policy_line::quoted;
use cofferdam_bridge::prompt::PromptOutcome;
use cofferdam_bridge::verdict::{Denial, RuleRef};
use std::net::SocketAddr;

/// As much of what is no host as is shown, in characters.
const LONGEST_SHOWN: usize = 80;

/// What is said of an entry for the shortest path.
const OF_ROOT: &str = "an entry for `/` opens every path of the host to that method";

impl Gate {
    /// Notes that the host was asked, and that it may not be.
    pub(super) fn refuse_asked(
        &self,
        target: &Target,
        rule: &RuleRef,
        outcome: PromptOutcome,
        program: Option<String>,
    ) {
        let mut denial = Denial::new("network.connect", target.entry());
        denial.remedy = Some(line(&target.entry()));
        denial.rule = Some(rule.clone());
        denial.note = Some(outcome.why().to_owned());
        self.note(denial, || program);
    }

    /// Notes that `host` was asked for, which is no name and no address in the one spelling that is compared.
    pub fn refuse_spelling(&self, host: &str, program: impl FnOnce() -> Option<String>) {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.:[]%@".contains(letter);
        let shown: String = host.chars().take(LONGEST_SHOWN).map(|one| if fine(one) { one } else { '?' }).collect();
        let mut denial = Denial::new("network.connect", shown);
        denial.note = Some("this is no name of a host, and no address as it is usually written".to_owned());
        self.note(denial, program);
    }

    /// Notes that a request to `target` was refused.
    pub fn refuse_request(&self, target: &Target, refusal: &Refusal, program: impl FnOnce() -> Option<String>) {
        let address = self.looked_at(target);
        let denial = match refusal {
            Refusal::NotAllowed { method, path, .. } => {
                let mut denial = Denial::new("network.request", format!("{method} {address}{path}"));
                denial.remedy = self.request_line(target, refusal);
                denial.note = denial.remedy.as_ref().filter(|_| path == "/").map(|_| OF_ROOT.to_owned());
                denial
            }
            Refusal::Unreadable(why) => {
                let mut denial = Denial::new("network.request", address);
                denial.note = Some(format!("a request that rules decide about was refused: {why}"));
                denial
            }
        };
        self.note(denial, program);
    }

    /// What a program is told of its request to `target`, in one line: most read no more than an answer.
    pub fn told_of_request(&self, target: &Target, refusal: &Refusal) -> String {
        match refusal {
            Refusal::NotAllowed { path, .. } => {
                let line = self.request_line(target, refusal);
                let wide = if path == "/" { format!(" ({OF_ROOT})") } else { String::new() };
                let how =
                    line.map(|line| format!("; to allow it, write in the policy: {line}{wide}")).unwrap_or_default();
                format!("no rule of the sandbox's policy allows this request{how}")
            }
            Refusal::Unreadable(why) => {
                format!("the sandbox's policy decides about requests that go here, and this one was refused: {why}")
            }
        }
    }

    /// How requests to `target` are written in rules.
    fn looked_at(&self, target: &Target) -> String {
        let rules = self.http.of(&target.host(), target.port());
        format!("{}://{}", rules.map_or("http", |rules| rules.scheme().name()), target.entry())
    }

    /// What would let a request through that was refused, if a policy can say it. The path is the run's own words, quotes among them.
    fn request_line(&self, target: &Target, refusal: &Refusal) -> Option<String> {
        let Refusal::NotAllowed { method, path, whole: true } = refusal else { return None };
        let rules = self.http.of(&target.host(), target.port())?;
        // As the rules name the host: an entry that names it otherwise may be about one that network.allow does not name.
        let host = match rules.host()? {
            address if address.contains(':') => format!("[{address}]"),
            name => name.to_owned(),
        };
        // What was escaped is to stay so: in an entry, too, either of these ends a path.
        let written = path.replace('?', "%3F").replace('#', "%23");
        let plain = method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !plain || canonical_path(&written).as_ref() != Some(path) {
            return None;
        }
        let entry = format!("{method} {}://{host}:{}{written}", rules.scheme().name(), target.port());
        Some(format!("network.http = [{}]", quoted(&entry)))
    }

    /// Notes that a connection was refused for `why`, a sentence; `remedy`: what would let it through, if anything should.
    pub fn refuse_for(
        &self,
        target: &Target,
        why: &str,
        remedy: Option<&str>,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.connect", target.entry());
        denial.remedy = remedy.map(str::to_owned);
        // What is allowed is refused by no missing rule, but since it is looked at.
        denial.rule = self.http.of(&target.host(), target.port()).and_then(|rules| rules.first().cloned());
        denial.note = Some(why.to_owned());
        self.note(denial, program);
    }

    /// Notes a refusal. Who asked is sought for a new one alone: it is slow, and everybody else in the network waits meanwhile.
    pub(super) fn note(&self, mut denial: Denial, program: impl FnOnce() -> Option<String>) {
        if lock(&self.traffic).is_new(&denial) {
            denial.program = program();
        }
        lock(&self.traffic).refused(denial);
    }

    /// Notes that a datagram was not carried. Where rules are about requests no entry would let it through, and none is proposed.
    pub fn refuse_datagram(&self, target: &Target, program: impl FnOnce() -> Option<String>) {
        let mut denial = Denial::new("network.send", format!("{}/udp", target.entry()));
        let why = if self.requests(target).is_some() {
            "requests that go there are looked at, which they are not in datagrams; what speaks HTTP/3 falls back to TCP by itself"
        } else {
            denial.remedy = Some(line(&format!("udp://{}", target.entry())));
            "datagrams have entries of their own; what speaks HTTP/3 falls back to TCP by itself without one"
        };
        denial.note = Some(why.to_owned());
        self.note(denial, program);
    }

    /// Notes that datagrams to a name were not carried, since it leads to `address`.
    pub(super) fn refuse_leading_datagram(
        &self,
        target: &Target,
        address: SocketAddr,
        class: AddressClass,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.send", format!("{}/udp", target.entry()));
        let address = Target::Address(address).entry();
        denial.remedy = Some(line(&format!("udp://{address}")));
        denial.resolved = Some(address);
        denial.note = Some(format!("the name leads to {}, which a rule must name itself", class.told()));
        self.note(denial, program);
    }

    pub(super) fn refuse(
        &self,
        target: &Target,
        barred: Option<(SocketAddr, AddressClass)>,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.connect", target.entry());
        denial.remedy = Some(line(&target.entry()));
        if let Some((address, class)) = barred {
            let address = Target::Address(address).entry();
            denial.resolved = Some(address.clone());
            denial.remedy = Some(line(&address));
            denial.note = Some(format!("the name leads to {}, which a rule must name itself", class.told()));
        }
        self.note(denial, program);
    }

    /// A name that was looked up and is not answered.
    pub(super) fn refuse_name(
        &self,
        name: &str,
        barred: Option<(SocketAddr, AddressClass)>,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.resolve", name);
        match barred {
            None => {
                denial.remedy = canonical_name(name).map(|name| line(&format!("{name}:443")));
                denial.note = Some("the name was looked up, for which port is not known; 443 stands for it".to_owned());
            }
            Some((address, class)) => {
                let connects = self.rules.name(name, None).is_some();
                let (rules, scheme) = if connects { (&self.rules, "") } else { (&self.datagrams, "udp://") };
                let port = rules.ports().next().map_or(443, |ports| *ports.start());
                let address = Target::Address(SocketAddr::new(address.ip(), port)).entry();
                denial.remedy = Some(line(&format!("{scheme}{address}")));
                denial.resolved = Some(address);
                denial.note = Some(format!("the name leads to {}, which a rule must name itself", class.told()));
            }
        }
        self.note(denial, program);
    }

    /// A name that is one too many.
    pub(super) fn refuse_more_names(&self, name: &str, program: impl FnOnce() -> Option<String>) {
        let mut denial = Denial::new("network.resolve", name);
        denial.note = Some(format!(
            "a run may ask for {MOST_NAMES} names, and this one has; name what it needs without a wildcard"
        ));
        self.note(denial, program);
    }
}

fn line(entry: &str) -> String {
    format!("network.allow = [\"{entry}\"]")
}
