//! From attempts to refusals, when the run has ended: what would have come to something outside, the rule that is in the way, and the
//! line that takes it out of the way.

use super::attempts::{Attempt, Attempts, MOST_PROGRAMS, Sought, Want};
use super::automounts::Automounts;
use super::findings;
use super::judge::Judge;
use super::listening;
use super::observe::{Watch, is_own};
use super::outside::{Outside, tidy};
use super::remedy;
use cofferdam_bridge::decide::{FileAccess, RuleDecision};
use cofferdam_bridge::profile::PathEffect;
use cofferdam_bridge::verdict::Denial;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The access to a program.
const EXECUTE: &str = "command.execute";

/// Where the host tells of itself and programs ask in passing: they do without, and no rule shows these places.
const OF_THE_MACHINE: [&str; 5] = ["/proc", "/sys/devices/system", "/sys/kernel", "/sys/fs/cgroup", "/sys/module"];

/// Services that a C library asks first where they are there, and does without.
const ASKED_FIRST: [&str; 3] = ["/run/nscd", "/var/run/nscd", "/run/systemd/userdb"];

/// What the attempts of a run come to, in the order in which they happened.
pub(super) fn denials(attempts: &mut Attempts, judge: &Judge, watch: &Watch) -> Vec<Denial> {
    let mut denials: Vec<Denial> = Vec::new();
    let automounts = Automounts::of_host();
    for (sought, attempt) in attempts.take() {
        let denial = match &sought {
            Sought::Path { want, absolute } => {
                of_path(*want, &tidy(absolute, &automounts), &automounts, (judge, watch))
            }
            Sought::Address { address, port } => of_address(*address, *port),
            Sought::AbstractName(name) => of_abstract_name(name),
            Sought::Call { name, detail } => Some(of_call(name, *detail)),
        };
        let Some(denial) = denial.map(|denial| told(denial, &attempt)) else { continue };
        // One program is found by several names of `PATH`.
        let program = |known: &Denial| denial.access == EXECUTE && leads_to(known) == leads_to(&denial);
        let same =
            |known: &Denial| known.access == denial.access && (known.subject == denial.subject || program(known));
        match denials.iter_mut().find(|known| same(known)) {
            Some(known) => merge(known, denial),
            None => denials.push(denial),
        }
    }
    for denial in denials.iter_mut().filter(|denial| denial.programs.len() < 2) {
        denial.programs.clear();
    }
    denials
}

fn leads_to(denial: &Denial) -> &str {
    denial.resolved.as_deref().unwrap_or(&denial.subject)
}

/// Adds who asked, how and how often.
fn told(mut denial: Denial, attempt: &Attempt) -> Denial {
    denial.program.clone_from(&attempt.program);
    denial.program_path.clone_from(&attempt.program_path);
    denial.operation = Some(attempt.operation.to_owned());
    denial.times = Some(attempt.times);
    denial.programs.clone_from(&attempt.programs);
    let asked = text_of(&attempt.asked);
    denial.asked = (!asked.is_empty() && asked != denial.subject).then_some(asked);
    denial
}

/// Looking at a file and then opening it is one refusal; the later call says more.
fn merge(known: &mut Denial, denial: Denial) {
    known.times = known.times.zip(denial.times).map(|(known, more)| known.saturating_add(more));
    for (program, times) in &denial.programs {
        if known.programs.len() < MOST_PROGRAMS || known.programs.contains_key(program) {
            let known = known.programs.entry(program.clone()).or_default();
            *known = known.saturating_add(*times);
        }
    }
    if denial.access != EXECUTE && denial.remedy.is_some() && known.remedy != denial.remedy {
        let operation = denial.operation.clone();
        (known.remedy, known.note, known.operation) = (denial.remedy, denial.note, operation);
    } else if denial.operation.as_deref().is_some_and(|operation| operation.starts_with("open")) {
        known.operation = denial.operation;
    }
}

fn of_path(want: Want, named: &Path, automounts: &Automounts, by: (&Judge, &Watch)) -> Option<Denial> {
    let (judge, watch) = by;
    if OF_THE_MACHINE.iter().chain(&ASKED_FIRST).any(|place| named.starts_with(place)) {
        return None;
    }
    let outside = Outside::look(want, named, automounts)?;
    if outside.canonical.starts_with("/proc") || judge.is_temporary(&outside.canonical) {
        return None;
    }
    match want {
        Want::Execute => of_program(named, &outside, judge, watch),
        Want::Connect => outside.is_socket().then(|| service(named)),
        Want::Look | Want::LookAtLink | Want::Read => of_reading(named, &outside, judge),
        Want::Change | Want::Create | Want::Make | Want::Remove => of_writing(want, named, &outside, judge),
    }
}

fn of_reading(named: &Path, outside: &Outside, judge: &Judge) -> Option<Denial> {
    let decision = decide(judge, &outside.canonical, FileAccess::Read)?;
    if decision.allowed || !(outside.would_do || decision.rule.is_some()) {
        return None;
    }
    let mut denial = subject("filesystem.read", named, outside);
    remedy::of_file(&mut denial, &decision, "filesystem.read", proposed(named, outside, judge));
    if denial.remedy.is_some() && outside.is_directory() {
        denial.note = Some("it is a directory: the line opens everything beneath it".to_owned());
    }
    Some(denial)
}

fn of_writing(want: Want, named: &Path, outside: &Outside, judge: &Judge) -> Option<Denial> {
    let decision = decide(judge, &outside.canonical, FileAccess::Write)?;
    // A name is made and removed in its directory, and the file that is there is changed alone.
    let entry = matches!(want, Want::Make | Want::Remove) || (want == Want::Create && !outside.exists);
    let above = outside.canonical.parent().unwrap_or(Path::new("/"));
    let in_folder = !entry || decide(judge, above, FileAccess::Write)?.allowed;
    let by_rule = !matches!(decision.effect, None | Some(PathEffect::Read | PathEffect::Write));
    if (decision.allowed && in_folder) || !(outside.would_do || by_rule) {
        return None;
    }
    let mut denial = subject("filesystem.write", named, outside);
    if entry && !by_rule {
        let named_above = named.parent().unwrap_or(Path::new("/"));
        let folder = if outside.follows && proposed(named, outside, judge) == named { named_above } else { above };
        remedy::of_file(&mut denial, &decision, "filesystem.write", folder);
        let folder = findings::told(folder);
        denial.note =
            Some(format!("names are made and removed in their directory: the line opens all of {folder} for writing"));
    } else {
        remedy::of_file(&mut denial, &decision, "filesystem.write", proposed(named, outside, judge));
    }
    Some(denial)
}

fn of_program(named: &Path, outside: &Outside, judge: &Judge, watch: &Watch) -> Option<Denial> {
    let decision = watch.commands.decide(outside.canonical.to_str()?);
    let visible = decide(judge, &outside.canonical, FileAccess::Read)?;
    if (decision.allowed && visible.allowed) || !(outside.would_do && outside.is_file()) {
        return None;
    }
    let mut denial = subject(EXECUTE, named, outside);
    remedy::of_program(&mut denial, &decision, &visible, proposed(named, outside, judge), &outside.canonical);
    Some(denial)
}

/// What a line names: the path as the program named it, so that links on the way are there, too; but where it leads if all of them are
/// there already, or if one may be changed by the run, which would make the line mean something else.
fn proposed<'a>(named: &'a Path, outside: &'a Outside, judge: &Judge) -> &'a Path {
    let may = |link: &Path, access: FileAccess| decide(judge, link, access).is_some_and(|decision| decision.allowed);
    let is_changeable = outside.links.iter().any(|link| may(link, FileAccess::Write));
    let are_there = outside.links.iter().all(|link| may(link, FileAccess::Read));
    if is_changeable || are_there { &outside.canonical } else { named }
}

/// A service of the host behind a path socket.
fn service(named: &Path) -> Denial {
    let mut denial = Denial::new("socket.connect", findings::told(named));
    denial.note = Some("a service of the host listens there; no rule lets a run reach it".to_owned());
    denial
}

/// Where names are asked for.
const NAME_SERVER: u16 = 53;

fn of_address(address: IpAddr, port: u16) -> Option<Denial> {
    let own = is_own(address);
    if own && !listening::port("/proc/self/net", port) {
        return None;
    }
    let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let mut denial = Denial::new("network.connect", format!("{host}:{port}"));
    denial.remedy = Some(format!("network.mode = \"allowlist\"\nnetwork.allow = [\"{host}:{port}\"]"));
    denial.note = match port {
        NAME_SERVER => Some("a name server; the names themselves are what network.allow opens".to_owned()),
        _ => own.then(|| "a service of this machine".to_owned()),
    };
    Some(denial)
}

fn of_abstract_name(name: &[u8]) -> Option<Denial> {
    if !listening::abstract_name("/proc/self/net", name) {
        return None;
    }
    let mut denial = Denial::new("socket.connect", format!("@{}", text_of(name)));
    denial.note = Some("a service of the host has this abstract name; no rule lets a run reach it".to_owned());
    Some(denial)
}

fn of_call(name: &str, detail: Option<&str>) -> Denial {
    let is_network = matches!(detail, Some("AF_INET" | "AF_INET6" | "AF_NETLINK"));
    let subject = detail.map_or_else(|| name.to_owned(), |detail| format!("{name} ({detail})"));
    let mut denial = Denial::new("system.call", subject);
    if is_network && name == "socket" {
        denial.remedy = Some("network.mode = \"allowlist\"".to_owned());
        denial.note = Some(
            "with it go the hosts, as network.allow = [\"NAME:PORT\"]; without namespaces they are reached through a proxy that HTTPS_PROXY names, and what listens needs network.listen = [PORT] alone"
                .to_owned(),
        );
    } else {
        denial.note = Some("the system call filter refuses it; no rule lets it through".to_owned());
    }
    denial
}

fn subject(access: &str, named: &Path, outside: &Outside) -> Denial {
    let mut denial = Denial::new(access, findings::told(named));
    if outside.canonical != named {
        denial.resolved = Some(findings::told(&outside.canonical).into_owned());
    }
    denial
}

/// Decides about a path. One that is no text can be named by no rule, but may lie beneath one.
fn decide(judge: &Judge, path: &Path, access: FileAccess) -> Option<RuleDecision> {
    judge.decide(&String::from_utf8_lossy(path.as_os_str().as_bytes()), access)
}

/// Bytes that a guest chose, as a report tells them.
fn text_of(bytes: &[u8]) -> String {
    findings::told(Path::new(OsStr::from_bytes(bytes))).into_owned()
}
