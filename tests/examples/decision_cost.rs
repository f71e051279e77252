//! How long decisions take under policies of many rules: `cargo xtask bench decide` runs it.
//!
//! `decision_cost ROUNDS RULES…` prints a line for each number of rules: it, median and quartiles of the time of one decision in nanoseconds,
//! and the median of looking at each file rule in turn.

use cofferdam_bridge::path_pattern::{CompiledPattern, Specificity};
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::{Access, CompiledPolicy, NoFiles, Placeholders, Policy};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rounds = numbers.next().transpose()?.unwrap_or(101);
    let sizes = numbers.collect::<Result<Vec<_>, _>>()?;
    let mut subjects = sizes.iter().map(|rules| Subject::new(*rules)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        // In turn, so that all bear what else the machine does.
        for subject in &mut subjects {
            subject.round()?;
        }
    }
    for subject in &mut subjects {
        let [low, median, high] = quartiles(&mut subject.indexed);
        let [_, in_turn, _] = quartiles(&mut subject.in_turn);
        writeln!(std::io::stdout(), "{} {median} {low} {high} {in_turn}", subject.rules)?;
    }
    Ok(())
}

struct Subject {
    rules: usize,
    policy: CompiledPolicy,
    patterns: Vec<CompiledPattern>,
    questions: Vec<(Access, Verdict)>,
    indexed: Vec<u128>,
    in_turn: Vec<u128>,
}

impl Subject {
    fn new(rules: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let policy = Policy::parse(&text(rules), "bench", &NoFiles)?;
        let mut places = Placeholders::default();
        places.workspace = Some("/w".to_owned());
        let policy = policy.compile(&places, &BTreeMap::new())?;
        let patterns = policy.profile.filesystem.rules.iter().map(|rule| CompiledPattern::new(&rule.pattern));
        let mut patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        patterns.sort_by_key(|pattern| -> std::cmp::Reverse<Specificity> { std::cmp::Reverse(pattern.specificity()) });
        Ok(Self { rules, policy, patterns, questions: questions(rules), indexed: Vec::new(), in_turn: Vec::new() })
    }

    /// One time for each way, of all questions.
    fn round(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let count = self.questions.len() as u128;
        // The others had their turn meanwhile: what they pushed out of the caches is fetched again.
        for (access, _) in &self.questions {
            self.policy.decide(access)?;
        }
        let start = Instant::now();
        let mut wrong = 0;
        for (access, verdict) in &self.questions {
            wrong += usize::from(self.policy.decide(access)?.verdict != *verdict);
        }
        self.indexed.push(start.elapsed().as_nanos() / count);
        if wrong > 0 {
            return Err(format!("{wrong} of {count} decisions are not as they should be").into());
        }
        let paths = self.questions.iter().filter_map(|(access, _)| match access {
            Access::Read(path) | Access::Write(path) => Some(path.as_str()),
            _ => None,
        });
        let (mut matched, mut asked) = (0, 0);
        let start = Instant::now();
        for path in paths.take(64) {
            asked += 1;
            matched += usize::from(self.patterns.iter().any(|pattern| pattern.matches(path)));
        }
        self.in_turn.push(start.elapsed().as_nanos() / asked);
        if matched == 0 { Err("nothing matched".into()) } else { Ok(()) }
    }
}

/// A policy of `rules` rules of every kind, a seventh of each.
fn text(rules: usize) -> String {
    let kinds: [(&str, &str); 7] = [
        ("filesystem", "read"),
        ("filesystem", "write"),
        ("filesystem", "deny"),
        ("filesystem", "deny"),
        ("commands", "allow"),
        ("network", "allow"),
        ("network", "allow"),
    ];
    let mut lists: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for at in 0..rules {
        let kind = at % kinds.len();
        let entry = match kind {
            0 => format!("/data/set{at}/part"),
            1 => format!("/w/area{at}"),
            2 => format!("/w/**/secret{at}"),
            3 => format!("/w/**/*.kind{at}"),
            4 => format!("/opt/tool{at}/bin/"),
            5 => format!("host{at}.example.com:443"),
            _ => format!("10.{}.{}.0/24:5432", at / 256, at % 256),
        };
        let list = lists.entry(kinds.get(kind).copied().unwrap_or_default()).or_default();
        let _ = write!(list, "\"{entry}\", ");
    }
    let mut text = "version = 1\n".to_owned();
    for section in ["filesystem", "commands", "network"] {
        let _ = writeln!(text, "[{section}]");
        for ((_, key), entries) in lists.iter().filter(|((own, _), _)| *own == section) {
            let _ = writeln!(text, "{key} = [{entries}]");
        }
    }
    text + "mode = \"allowlist\"\n"
}

/// What is asked: of each kind of rule one that is there, and one that is not.
fn questions(rules: usize) -> Vec<(Access, Verdict)> {
    let (allow, deny) = (Verdict::Allow, Verdict::Deny);
    let mut questions = Vec::new();
    for turn in 0..64 {
        // Spread over all rules of a kind.
        let at = |kind: usize| (turn * (rules / 7).max(1) / 64 % (rules / 7).max(1)) * 7 + kind;
        questions.extend([
            (Access::Read(format!("/data/set{}/part/file-{turn}", at(0))), allow),
            (Access::Read(format!("/data/nothing/part/file-{turn}")), deny),
            (Access::Write(format!("/w/area{}/src/module/file-{turn}.rs", at(1))), allow),
            (Access::Write(format!("/w/area{}/src/secret{}", at(1), at(2))), allow),
            (Access::Read(format!("/w/src/deep/secret{}", at(2))), deny),
            (Access::Read(format!("/w/src/deep/er/name.kind{}", at(3))), deny),
            (Access::Execute(format!("/opt/tool{}/bin/run", at(4))), allow),
            (Access::Execute("/usr/bin/run".to_owned()), deny),
            (Access::Connect(format!("host{}.example.com", at(5)), 443), allow),
            (Access::Connect("elsewhere.example.com".to_owned(), 443), deny),
            (Access::Connect(format!("10.{}.{}.7", at(6) / 256, at(6) % 256), 5432), allow),
        ]);
    }
    questions
}

fn quartiles(values: &mut [u128]) -> [u128; 3] {
    values.sort_unstable();
    [1, 2, 3].map(|share| values.get(values.len() * share / 4).copied().unwrap_or(0))
}
