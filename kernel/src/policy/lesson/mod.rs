//! What refusals teach: the least policy under which a program works, as a file that a person reviews.
//!
//! A [`Lesson`] takes the refusals of one run after the other and writes the policy for the next one. It opens only what was
//! refused, and by itself never a secret, a protected name, a place as wide as a home directory, the network, or a change outside the
//! workspace that nobody consented to: those lines stand in the file as comments, each marked with what it is. A program that is
//! learned from is one that nobody trusts, and what it asks for it may do in the next run.

mod fold;
mod need;
mod text;

use super::builtin::{PROTECTED, SECRETS};
use super::compile::secret;
use super::document::Document;
use super::entry::Placeholders;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::path_pattern::CompiledPattern;
use cofferdam_bridge::profile::PathPattern;
use cofferdam_bridge::verdict::Denial;
use fold::is_beneath;
use need::{Key, Need, Standing};
use std::collections::BTreeMap;

pub use text::Told;

/// What was learned so far about one program.
///
/// ```
/// use cofferdam_bridge::{usage::Usage, verdict::Denial};
/// use cofferdam_kernel::policy::{Lesson, NoFiles, Placeholders, Policy, Told};
/// // What a run under `VmSpec::explain(Explain::Everything)` reports.
/// let mut denial = Denial::new("filesystem.read", "/srv/data/words");
/// denial.remedy = Some("filesystem.read = [\"/srv/data/words\"]".to_owned());
/// let mut lesson = Lesson::new("strict", Placeholders::default());
/// assert!(lesson.take(&[denial]), "another run would differ");
/// let text = lesson.text(&Told { program: "sort", arguments: 1, rounds: 1, usage: &Usage::default() });
/// Policy::parse(&text, "learned.toml", &NoFiles)?;
/// # Ok::<(), cofferdam_bridge::error::BridgeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lesson {
    base: String,
    places: Placeholders,
    secrets: Vec<CompiledPattern>,
    protected: Vec<CompiledPattern>,
    /// Where it may come to write, besides the workspace.
    consented: Vec<String>,
    require: Option<Tier>,
    needs: BTreeMap<(Key, String), Need>,
    addresses: BTreeMap<String, Need>,
    /// Lines that open more of the network.
    network: BTreeMap<String, Need>,
    /// What no line opens, in a sentence each.
    hopeless: BTreeMap<String, Need>,
    raised: BTreeMap<&'static str, u64>,
    takes_looks: bool,
}

impl Lesson {
    /// A lesson that builds on the policy `base`: a built-in's name or a file.
    pub fn new(base: impl Into<String>, places: Placeholders) -> Self {
        let patterns = SECRETS.iter().flat_map(|entry| secret(entry, &places));
        let secrets = patterns.filter_map(|pattern| CompiledPattern::new(&pattern).ok()).collect();
        let protected = PROTECTED.iter().map(|name| PathPattern::Glob(format!("/**/{name}")));
        Self {
            base: base.into(),
            secrets,
            protected: protected.filter_map(|pattern| CompiledPattern::new(&pattern).ok()).collect(),
            consented: Vec::new(),
            places,
            require: None,
            needs: BTreeMap::new(),
            addresses: BTreeMap::new(),
            network: BTreeMap::new(),
            hopeless: BTreeMap::new(),
            raised: BTreeMap::new(),
            takes_looks: false,
        }
    }

    /// Whoever learns consents to changes of `path` and of what lies beneath it. Without that only the workspace may come to be changed.
    #[must_use]
    pub fn may_write(mut self, path: impl Into<String>) -> Self {
        self.consented.push(path.into());
        self
    }

    /// The least isolation that will do.
    #[must_use]
    pub fn require(mut self, tier: Tier) -> Self {
        self.require = Some(tier);
        self
    }

    /// Takes the refusals of one run. Answers whether the policy is another one now.
    pub fn take(&mut self, denials: &[Denial]) -> bool {
        let before = self.lines();
        for denial in denials {
            self.take_one(denial);
        }
        self.lines() != before
    }

    /// From now on what was only asked about, and never opened, is opened too: for a program that does not go on without. Answers
    /// whether the policy is another one now.
    pub fn take_looks(&mut self, yes: bool) -> bool {
        let before = self.lines();
        self.takes_looks = yes;
        self.lines() != before
    }

    /// From now on the workspace may be read as a whole: a run starts there only where it is shown, and relative names mean
    /// something only there. Answers whether the policy is another one now.
    pub fn take_workspace(&mut self, program: &str, yes: bool) -> bool {
        let before = self.lines();
        let Some(workspace) = self.places.workspace.clone() else { return false };
        let key = (Key::Read, workspace.clone());
        if !yes {
            self.needs.remove(&key);
        } else if !self.needs.contains_key(&key) {
            let mut denial = Denial::new("filesystem.read", workspace);
            denial.program = Some(program.to_owned());
            denial.note = Some("where it starts, if it is shown".to_owned());
            let need = self.needs.entry(key).or_default();
            need.standing = Standing::Needed;
            need.asked(&denial);
        }
        self.lines() != before
    }

    /// A limit ended the run: it is raised. Answers whether it can be.
    pub fn raise(&mut self, limit: LimitName, value: u64) -> bool {
        /// How often a limit is doubled twice before it is taken for what it is.
        const MOST: u64 = 1 << 40;
        let name = match limit {
            LimitName::Wall => "wall",
            LimitName::Cpu => "cpu",
            LimitName::Memory => "memory",
            LimitName::Processes => "processes",
            _ => return false,
        };
        let value = value.max(1).saturating_mul(4);
        self.raised.insert(name, value);
        value <= MOST
    }

    fn take_one(&mut self, denial: &Denial) {
        if denial.access == "network.connect" {
            return self.addresses.entry(denial.subject.clone()).or_default().asked(denial);
        }
        let remedy = denial.remedy.as_deref().unwrap_or_default();
        if denial.access.starts_with("network.") && !remedy.is_empty() {
            remedy.lines().for_each(|line| self.network.entry(line.to_owned()).or_default().asked(denial));
            return;
        }
        let lines = Document::parse(&format!("version = 1\n{remedy}\n"), "remedy").ok();
        let lines = lines.filter(|lines| !remedy.is_empty() && lines.network_mode.is_none());
        let Some(lines) = lines else {
            let why =
                [denial.note.as_deref(), denial.remedy.as_deref()].into_iter().flatten().next().unwrap_or("no rule");
            let sentence = format!("{} of {}: {why}", denial.access, denial.subject);
            return self.hopeless.entry(sentence).or_default().asked(denial);
        };
        let lists = [
            (Key::Read, &lines.read),
            (Key::Write, &lines.write),
            (Key::Commands, &lines.commands_allow),
            (Key::Unprotect, &lines.unprotect),
            (Key::Pass, &lines.pass),
        ];
        for (key, entries) in lists {
            for entry in entries {
                let path = entry.text.strip_prefix("literal:").unwrap_or(&entry.text);
                let path = self.without_changeable_links(path, denial).to_owned();
                let standing = self.standing(key, &path, denial);
                let need = self.needs.entry((key, path)).or_default();
                need.standing = need.standing.max(standing);
                need.asked(denial);
            }
        }
    }

    /// A path that leads on by a link in a place that may come to be written would mean, in a later run, whatever the program makes of
    /// that link: where it leads now is what is meant.
    fn without_changeable_links<'a>(&self, path: &'a str, denial: &'a Denial) -> &'a str {
        let changeable = self.consented.iter().chain(&self.places.workspace).any(|place| is_beneath(path, place));
        denial.resolved.as_deref().filter(|_| changeable && path == denial.subject).unwrap_or(path)
    }

    fn standing(&self, key: Key, path: &str, denial: &Denial) -> Standing {
        let also = [Some(path), denial.resolved.as_deref(), Some(&denial.subject)];
        let secret = || also.iter().flatten().any(|path| self.secrets.iter().any(|pattern| pattern.matches(path)));
        match key {
            Key::Unprotect => Standing::Protected,
            Key::Pass => Standing::Needed,
            _ if denial.secret || secret() => Standing::Secret,
            Key::Write if self.protected.iter().any(|pattern| pattern.matches(path)) => Standing::Protected,
            Key::Write if self.consented.iter().any(|place| place == path || is_beneath(path, place)) => {
                Standing::Needed
            }
            _ if self.is_wide(path) => Standing::Wide,
            Key::Write if !self.places.workspace.as_deref().is_some_and(|own| own == path || is_beneath(path, own)) => {
                Standing::Outside
            }
            Key::Read if need::only_looks(denial) => Standing::Looked,
            _ => Standing::Needed,
        }
    }

    /// The whole machine, one of its top directories, a device or what the kernel tells of it, a home directory, or what holds that
    /// or the workspace.
    fn is_wide(&self, path: &str) -> bool {
        let holds = |place: &Option<String>| {
            place.as_deref().and_then(|place| place.strip_prefix(path)).is_some_and(|rest| rest.starts_with('/'))
        };
        path.matches('/').count() < 2
            || ["/dev/", "/sys/", "/proc/"].iter().any(|place| path.starts_with(place))
            || self.places.home.as_deref() == Some(path)
            || holds(&self.places.home)
            || holds(&self.places.workspace)
            || path.strip_prefix("/home/").is_some_and(|rest| !rest.contains('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{NoFiles, Policy};
    use cofferdam_bridge::usage::Usage;

    fn places() -> Placeholders {
        let mut places = Placeholders::default();
        (places.workspace, places.home) = (Some("/home/u/project".into()), Some("/home/u".into()));
        places
    }

    fn denial(remedy: &str, subject: &str, operation: &str) -> Denial {
        let mut denial = Denial::new("filesystem.read", subject);
        denial.remedy = Some(remedy.to_owned());
        denial.operation = Some(operation.to_owned());
        (denial.program, denial.times) = (Some("tool\n# x".to_owned()), Some(2));
        denial
    }

    fn read(path: &str) -> Denial {
        denial(&format!("filesystem.read = [\"{path}\"]"), path, "openat")
    }

    fn text(lesson: &Lesson) -> String {
        let text = lesson.text(&Told { program: "tool", arguments: 2, rounds: 3, usage: &Usage::default() });
        Policy::parse(&text, "learned", &NoFiles).unwrap_or_else(|error| panic!("{error}\n{text}"));
        text
    }

    fn active(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).filter(|line| line.starts_with('"')).collect()
    }

    #[test]
    fn what_was_refused_becomes_a_line_with_who_asked_how_often() {
        let mut lesson = Lesson::new("strict", places());
        assert!(lesson.take(&[read("/srv/data/a"), read("/home/u/project/x"), read("/home/u/.toolrc")]));
        assert!(!lesson.take(&[read("/srv/data/a")]), "nothing new");
        insta::assert_snapshot!(text(&lesson));
    }

    #[test]
    fn a_secret_is_never_an_active_line() {
        let mut lesson = Lesson::new("strict", places());
        let mut link = read("/srv/tool/link");
        link.resolved = Some("/home/u/.ssh/id".to_owned());
        let secrets = [read("/home/u/.ssh/config"), read("/etc/shadow"), link];
        assert!(!lesson.take(&secrets), "nothing that the next run could use");
        lesson.take_looks(true);
        let text = text(&lesson);
        assert_eq!(active(&text), Vec::<&str>::new(), "{text}");
        assert_eq!(text.matches("# secret: \"").count(), 3, "{text}");
    }

    #[test]
    fn what_is_wide_or_protected_is_left_to_the_reader() {
        let mut lesson = Lesson::new("dev", places());
        let unprotect = denial("filesystem.unprotect = [\".envrc\"]", "/home/u/project/.envrc", "openat");
        lesson.take(&[read("/home/u"), read("/home"), read("/srv"), read("/"), read("/dev/sda"), unprotect]);
        let text = text(&lesson);
        assert_eq!(active(&text), Vec::<&str>::new(), "{text}");
        assert!(text.contains("# protected: \".envrc\"") && text.matches("# wide: \"").count() == 5, "{text}");
    }

    #[test]
    fn what_was_only_looked_at_is_opened_when_nothing_else_helps() {
        let mut lesson = Lesson::new("dev", places());
        let looked = denial("filesystem.read = [\"/srv/data/x\"]", "/srv/data/x", "newfstatat");
        assert!(!lesson.take(&[looked]));
        assert!(text(&lesson).contains("# looked at: \"/srv/data/x\""));
        assert!(lesson.take_looks(true));
        assert_eq!(active(&text(&lesson)).len(), 1);
    }

    #[test]
    fn the_workspace_is_opened_and_closed_again() {
        let mut lesson = Lesson::new("strict", places());
        lesson.take(&[read("/home/u/project/x")]);
        assert!(lesson.take_workspace("tool", true));
        assert_eq!(active(&text(&lesson)).len(), 1, "what lies beneath it goes without a line");
        assert!(text(&lesson).contains("\"{workspace}\""));
        assert!(lesson.take_workspace("tool", false));
        assert!(text(&lesson).contains("\"{workspace}/x\""));
    }

    #[test]
    fn nothing_outside_the_workspace_comes_to_be_changed_without_consent() {
        let write = |path: &str| denial(&format!("filesystem.write = [\"{path}\"]"), path, "openat");
        let places_written = ["/home/u/.bashrc", "/home/u/Documents", "/srv/data", "/home/u/project/out", "/srv/own/x"];
        let mut lesson = Lesson::new("strict", places()).may_write("/srv/own");
        lesson.take(&places_written.map(write));
        lesson.take(&[write("/home/u/project/.git/hooks"), write("/home/u/project/.envrc"), write("/srv/own/.vscode")]);
        let text = text(&lesson);
        assert_eq!(active(&text).len(), 2, "{text}");
        assert!(text.matches("# outside: \"").count() == 2 && text.matches("# protected: \"").count() == 4, "{text}");
    }

    #[test]
    fn a_link_that_may_come_to_be_changed_stands_in_no_line() {
        let mut lesson = Lesson::new("strict", places());
        let mut link = read("/home/u/project/link/config");
        link.resolved = Some("/srv/data/config".to_owned());
        lesson.take(&[link]);
        assert_eq!(active(&text(&lesson)).len(), 1);
        assert!(text(&lesson).contains("\"/srv/data/config\"") && !text(&lesson).contains("link"));
    }

    #[test]
    fn a_program_that_lies_where_the_run_writes_may_be_made_anew() {
        let mut lesson = Lesson::new("strict", places());
        lesson = lesson.may_write("/srv/build");
        let write = denial("filesystem.write = [\"/srv/build\"]", "/srv/build/out", "openat");
        let execute = denial("commands.allow = [\"/srv/build/out\"]", "/srv/build/out", "execve");
        lesson.take(&[write, execute]);
        assert_eq!(text(&lesson).matches("\"/srv/build\",  #").count(), 2);
    }

    #[test]
    fn many_files_of_a_folder_become_the_folder_but_never_a_wide_one() {
        let mut lesson = Lesson::new("dev", places());
        let files = |folder: &str| (0..20).map(|n| read(&format!("{folder}/{n}"))).collect::<Vec<_>>();
        lesson.take(&files("/srv/data"));
        lesson.take(&files("/etc"));
        let text = text(&lesson);
        assert!(text.contains("\"/srv/data\"") && !text.contains("\"/srv/data/1\""), "{text}");
        assert_eq!(active(&text).len(), 21, "{text}");
    }

    #[test]
    fn the_network_and_what_no_rule_opens_are_told_and_not_opened() {
        let mut lesson = Lesson::new("dev", places());
        let address = |subject: &str| {
            let mut denial = denial("network.mode = \"inherit\"", subject, "connect");
            denial.access = "network.connect".to_owned();
            denial
        };
        let mut call = denial("", "mount", "mount");
        (call.access, call.remedy, call.note) = ("system.call".to_owned(), None, Some("refused\nmode = 1".to_owned()));
        let addresses = ["192.0.2.1:443", "10.0.0.1:80", "169.254.169.254:80", "127.0.0.1:5432", "[fd00::1]:1"];
        let mut listened = denial("network.listen = [8000]", "8000", "server");
        listened.access = "network.listen".to_owned();
        assert!(!lesson.take(&[&addresses.map(address)[..], &[call, listened]].concat()));
        let told = lesson.undecided();
        assert!(told.iter().any(|told| told.starts_with("network: network.listen = [8000] (tool")), "{told:?}");
        insta::assert_snapshot!(text(&lesson));
    }

    #[test]
    fn a_limit_that_ended_the_run_is_raised() {
        let mut lesson = Lesson::new("strict", places());
        assert!(lesson.raise(LimitName::Memory, 1 << 20) && lesson.raise(LimitName::Wall, 1000));
        assert!(!lesson.raise(LimitName::Stdout, 1));
        let text = text(&lesson);
        assert!(text.contains("\nmemory = \"4194304B\"") && text.contains("\nwall = \"4000ms\""), "{text}");
    }
}
