//! Decides about names: by the policy's rules on canonical paths, and by what the guest made itself.

use super::caller::program_of;
use super::findings::Findings;
use super::guest_path::Place;
use super::made::Made;
use super::own_places::OwnPlaces;
use super::permits::{Permits, Permitted};
use super::raw_call::{Identity, facts};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules, RuleDecision};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathRule};
use cofferdam_bridge::prompt::PromptAccess;
use cofferdam_bridge::verdict::RuleRef;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// What a refused call is answered.
pub(crate) const REFUSED: Errno = Errno::EACCES;

/// The judge of one execution.
#[derive(Debug)]
pub(crate) struct Judge {
    rules: Arc<FilesystemRules>,
    /// What is allowed without a rule. `None`: mounts show the guest nothing but what it may have.
    own: Option<OwnPlaces>,
    pub(crate) made: Made,
    pub(crate) findings: Findings,
    /// What the host said to the call that is served.
    pub(crate) permits: Permits,
}

/// Why a name may be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No rule takes it away. Whether mounts let it happen is theirs to say.
    Free,
    /// It would be protected, but stands in a directory of the guest's own.
    Own,
}

/// Rules on canonical paths, made ready once for all executions of a VM.
pub(crate) fn rules(profile: &ExecutionProfile, canonical: &[PathRule]) -> Result<Arc<FilesystemRules>, BridgeError> {
    let mut filesystem = profile.filesystem.clone();
    filesystem.rules = canonical.to_vec();
    FilesystemRules::new(&filesystem).map(Arc::new)
}

impl Judge {
    /// A judge by `rules`, before anything has happened. Without mounts behind it, whatever is neither allowed by a rule nor one of
    /// the guest's `own` places is refused.
    pub(crate) fn new(rules: Arc<FilesystemRules>, own: Option<OwnPlaces>) -> Self {
        Self { rules, own, made: Made::default(), findings: Findings::default(), permits: Permits::default() }
    }

    /// The terminal at `path`, if the run made it where the only devpts is the host's.
    pub(crate) fn own_terminal(&self, path: &Path) -> Option<&OwnedFd> {
        self.own.as_ref()?.terminal(path)
    }

    /// Remembers a terminal that the run made.
    pub(crate) fn made_terminal(&mut self, number: u32, node: OwnedFd) -> Result<(), Errno> {
        let made = self.own.as_mut().is_some_and(|own| own.terminals().made(number, node));
        if made { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    /// Where `absolute` leads that means one of the run's own places by another name.
    pub(crate) fn moved(&self, absolute: Vec<u8>) -> Vec<u8> {
        match &self.own {
            Some(own) => own.moved(absolute),
            None => absolute,
        }
    }

    /// May the guest know that something is at the canonical `path`? Mounts hide the rest where there are some.
    pub(crate) fn shows(&self, thread: i32, path: &Path) -> bool {
        let Some(own) = &self.own else { return true };
        own.shows(thread, path)
            || self
                .rules
                .decide(&path.to_string_lossy(), FileAccess::Read)
                .is_ok_and(|decision| decision.allowed || decision.asks())
    }

    /// May the guest change what is at the canonical `path`, as far as rules say? Nothing is noted.
    pub(crate) fn lets_write(&self, thread: i32, path: &Path) -> bool {
        let Some(own) = &self.own else { return true };
        // The folder of temporary storage cannot be removed, but is there to be filled.
        own.may_write(thread, path)
            || own.is_temporary(path)
            || self.rules.decide(&path.to_string_lossy(), FileAccess::Write).is_ok_and(|decision| decision.allowed)
    }

    /// Whether there are no mounts behind it.
    pub(crate) fn is_alone(&self) -> bool {
        self.own.is_some()
    }

    /// May what has this name be changed, made or removed? `directory` is the one that the name is in.
    pub(crate) fn name(&mut self, thread: i32, path: &Path, directory: Identity) -> Result<Standing, Errno> {
        let text = path.to_string_lossy();
        let Ok(decision) = self.rules.decide(&text, FileAccess::Write) else { return Err(REFUSED) };
        if decision.allowed || self.own.as_ref().is_some_and(|own| own.may_write(thread, path)) {
            return Ok(Standing::Free);
        }
        if decision.asks() {
            return self.ask(thread, PromptAccess::Write, path, decision).map(|()| Standing::Free);
        }
        match decision.effect {
            None | Some(PathEffect::Read) if self.is_alone() => self.refuse(thread, "filesystem.write", path, decision),
            // Outside every rule, or only readable: the mounts refuse it, or it is the sandbox's own (/tmp, /dev).
            None | Some(PathEffect::Read) => Ok(Standing::Free),
            Some(PathEffect::Protect) if self.is_own(path, directory) => {
                self.findings.executable(path);
                Ok(Standing::Own)
            }
            _ => self.refuse(thread, "filesystem.write", path, decision),
        }
    }

    /// May this name be made, removed or given to something else? That changes the directory it is in, so where there are no mounts, whose
    /// places cannot be removed, that directory must lie in a writable place, too.
    pub(crate) fn entry(&mut self, thread: i32, place: &Place, directory: Identity) -> Result<Standing, Errno> {
        if let Some(own) = &self.own
            && !own.is_temporary(place.directory())
        {
            let text = place.directory().to_string_lossy();
            let Ok(decision) = self.rules.decide(&text, FileAccess::Write) else { return Err(REFUSED) };
            if !decision.allowed && matches!(decision.effect, None | Some(PathEffect::Read)) {
                return self.refuse(thread, "filesystem.write", &place.path, decision);
            }
        }
        self.name(thread, &place.path, directory)
    }

    /// May something other than a directory get this name? On the way to a protected name it would stand for what is protected.
    pub(crate) fn new_file(&mut self, thread: i32, place: &Place, directory: Identity) -> Result<(), Errno> {
        self.entry(thread, place, directory)?;
        self.list_run_later(&place.path);
        let text = place.path.to_string_lossy();
        let Some(rule) = self.rules.on_the_way_to(&text).cloned() else { return Ok(()) };
        if self.is_own(&place.path, directory) {
            self.findings.executable(&place.path);
            return Ok(());
        }
        self.findings.refused(thread, "filesystem.write", &place.path, Some((PathEffect::Protect, rule)));
        Err(REFUSED)
    }

    /// May files without a name be made in the directory `path`? Where there are mounts they say so.
    pub(crate) fn unnamed(&mut self, thread: i32, path: &Path, directory: Identity) -> Result<(), Errno> {
        match &self.own {
            Some(own) if !own.is_temporary(path) => self.name(thread, path, directory).map(drop),
            _ => Ok(()),
        }
    }

    /// May what is at `path` be read? Asked where a rule takes reading away by a pattern, and where there are no mounts.
    pub(crate) fn read(&mut self, thread: i32, path: &Path) -> Result<(), Errno> {
        let text = path.to_string_lossy();
        if self.own.as_ref().is_some_and(|own| own.may_read(thread, path)) {
            return Ok(());
        }
        let Ok(decision) = self.rules.decide(&text, FileAccess::Read) else { return Err(REFUSED) };
        if decision.asks() {
            return self.ask(thread, PromptAccess::Read, path, decision);
        }
        match decision.effect {
            // What no rule names is not there at all where there are mounts; looking for it is no attempt worth telling.
            None if self.is_alone() => Err(REFUSED),
            _ if self.is_alone() && !decision.allowed => {
                self.refuse(thread, "filesystem.read", path, decision).map(drop)
            }
            Some(effect) if !decision.allowed && effect != PathEffect::Protect => {
                self.refuse(thread, "filesystem.read", path, decision).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// May a directory of the host's be called `to` instead of `from`? Not where a rule means it by its name or place.
    pub(crate) fn rename_directory(&mut self, thread: i32, from: &Path, to: &Path) -> Result<(), Errno> {
        let (old, new) = (from.to_string_lossy(), to.to_string_lossy());
        let Some(rule) = self.rules.changed_by_rename(&old, &new).cloned() else { return Ok(()) };
        self.findings.refused(thread, "filesystem.write", from, Some((PathEffect::Protect, rule)));
        Err(REFUSED)
    }

    /// Notes that the mounts refused a change, where the rules say why.
    pub(crate) fn refused_by_mounts(&mut self, thread: i32, path: &Path) {
        let own = ["/proc", "/dev", "/tmp", "/sys"].iter().any(|own| path.starts_with(own));
        let text = path.to_string_lossy();
        if let Ok(decision) = self.rules.decide(&text, FileAccess::Write)
            && !decision.allowed
            && !(own && decision.effect.is_none())
        {
            self.findings.refused(thread, "filesystem.write", path, rule_of(decision));
        }
    }

    /// Whether the host is asked before `path` is changed. What is asked about only before it is read is refused.
    pub(crate) fn asks_to_change(&mut self, thread: i32, path: &Path) -> Result<bool, Errno> {
        let text = path.to_string_lossy();
        let Ok(write) = self.rules.decide(&text, FileAccess::Write) else { return Err(REFUSED) };
        if write.allowed || write.asks() {
            return Ok(write.asks());
        }
        match self.rules.decide(&text, FileAccess::Read) {
            Ok(read) if read.asks() => self.refuse(thread, "filesystem.write", path, write).map(|_| false),
            _ => Ok(false),
        }
    }

    /// What the rules say to a canonical path; `None` for what is none.
    pub(crate) fn decide(&self, path: &str, access: FileAccess) -> Option<RuleDecision> {
        self.rules.decide(path, access).ok()
    }

    /// Whether `path` lies in temporary storage that is on the host.
    pub(crate) fn is_temporary(&self, path: &Path) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_temporary(path))
    }

    /// Whether a rule takes changing `path` away, whoever made it.
    pub(crate) fn is_taken_away(&self, path: &Path) -> bool {
        let decision = self.rules.decide(&path.to_string_lossy(), FileAccess::Write);
        decision.is_ok_and(|decision| !decision.allowed && !matches!(decision.effect, None | Some(PathEffect::Read)))
    }

    /// Lists a file that outlives the run: one in a place that the policy names, not in private temporary storage.
    pub(crate) fn list_if_kept(&mut self, path: &Path) {
        let text = path.to_string_lossy();
        if self.rules.decide(&text, FileAccess::Write).is_ok_and(|decision| decision.effect.is_some()) {
            self.findings.executable(path);
        }
    }

    /// Lists a file that some tool reads code or settings from by itself, where that is too ordinary a name to be protected.
    pub(crate) fn list_run_later(&mut self, path: &Path) {
        if is_run_later(path) {
            self.list_if_kept(path);
        }
    }

    /// Lists a directory of the guest's own that gets a name on the way to a protected one.
    pub(crate) fn list_on_the_way(&mut self, path: &Path) {
        let text = path.to_string_lossy();
        if self.rules.on_the_way_to(&text).is_some() {
            self.findings.executable(path);
        }
    }

    /// The host's word on `path`, which is asked for where it has not been given to this call.
    fn ask(&mut self, thread: i32, access: PromptAccess, path: &Path, decision: RuleDecision) -> Result<(), Errno> {
        let Some(rule) = decision.rule else { return Err(REFUSED) };
        match self.permits.look(access, path) {
            Permitted::Yes => Ok(()),
            Permitted::NotAsked => {
                self.permits.ask(access, path, rule, program_of(thread));
                Err(REFUSED)
            }
            Permitted::Another => {
                let why = "what the host was asked about was exchanged for something else meanwhile";
                self.findings.asked(thread, access.as_str(), path, rule, why);
                Err(REFUSED)
            }
        }
    }

    fn is_own(&self, path: &Path, directory: Identity) -> bool {
        self.made.is_own(directory) && !self.made.is_vacated(path)
    }

    fn refuse(&mut self, thread: i32, access: &str, subject: &Path, decision: RuleDecision) -> Result<Standing, Errno> {
        self.findings.refused(thread, access, subject, rule_of(decision));
        Err(REFUSED)
    }
}

/// Names of files that are run, or change what runs, without being asked for: by an interpreter as it starts, by a test runner, by an
/// agent that takes them for its orders.
const RUN_LATER: [&str; 8] = [
    "pyvenv.cfg",
    "sitecustomize.py",
    "usercustomize.py",
    "conftest.py",
    ".tool-versions",
    "AGENTS.md",
    "CLAUDE.md",
    "GEMINI.md",
];

fn is_run_later(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    // A directory with HEAD, objects and refs is a repository to git, and its `config` names programs (git-config(1),
    // safe.bareRepository). In a `.git` that is there by rights.
    let repository = name == "HEAD" && !path.iter().any(|part| part == ".git");
    let path_file = path.extension().is_some_and(|extension| extension == "pth");
    repository || path_file || RUN_LATER.iter().any(|own| name == *own)
}

fn rule_of(decision: RuleDecision) -> Option<(PathEffect, RuleRef)> {
    // A rule that only lets read is not what is in the way: what is missing is one that lets write.
    decision.effect.filter(|effect| *effect != PathEffect::Read).zip(decision.rule)
}

/// The identity of the directory that a name is in.
pub(crate) fn directory_of(place: &Place) -> Result<Identity, Errno> {
    facts(place.parent.as_fd()).map(|facts| facts.identity)
}
