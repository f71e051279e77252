//! The file: each line with who needed it, and what is left to the reader as marked comments.

use super::Lesson;
use super::fold::Line;
use super::need::{Key, Standing};
use cofferdam_bridge::policy_line::quoted;
use cofferdam_bridge::usage::Usage;
use std::fmt::Write;
use std::net::IpAddr;

/// What the file says of the runs it comes from.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever learns tells all of it")]
pub struct Told<'a> {
    /// The program's name.
    pub program: &'a str,
    /// How many arguments it had; they may hold secrets, so they are not told.
    pub arguments: usize,
    /// How often it was run.
    pub rounds: usize,
    /// What the last run used.
    pub usage: &'a Usage,
}

const HEAD: &str = "\
# Read each line before you use this. What is commented out was asked for as well and is yours to decide:
#   secret     it is on the built-in list of secrets
#   wide       it opens a whole home directory, one of the machine's top directories, or a device
#   outside    it lets change what lies outside the workspace
#   protected  other tools run what stands there
#   looked at  it was asked about and never opened; the program came to its end without
# Not learned: which variables of the environment the program reads (name them under environment.pass), and what it
# does with other arguments or input.
";

/// What a list is called, and the section it stands in.
const LISTS: [(&str, &[(Key, &str)]); 3] = [
    ("filesystem", &[(Key::Read, "read"), (Key::Write, "write"), (Key::Unprotect, "unprotect")]),
    ("commands", &[(Key::Commands, "allow")]),
    ("environment", &[(Key::Pass, "pass")]),
];

impl Lesson {
    /// The policy learned so far, as a file.
    pub fn text(&self, told: &Told<'_>) -> String {
        let Told { program, arguments, rounds, usage } = told;
        let mut text = format!(
            "# Learned by `cofferdam policy learn` from {} with {arguments} arguments, in {rounds} runs.\n{HEAD}",
            plain(program)
        );
        text += &format!("version = 1\nextends = {}\n", quoted(&self.base));
        let (lines, marked) = (self.lines(), self.marked());
        for (section, lists) in LISTS {
            let mut body = String::new();
            for (key, name) in lists {
                let own = lines.get(key).map(Vec::as_slice).unwrap_or_default();
                let left = marked.get(key).map(Vec::as_slice).unwrap_or_default();
                if !own.is_empty() || !left.is_empty() {
                    body += &self.list(name, own, left);
                }
            }
            if !body.is_empty() {
                text += &format!("\n[{section}]\n{body}");
            }
        }
        text += &self.network();
        text += &self.limits(usage);
        if let Some(tier) = self.require {
            // A name of a tier is a word, as in JSON.
            let name = serde_json::to_value(tier).ok().and_then(|name| name.as_str().map(quoted)).unwrap_or_default();
            text += &format!("\n[isolation]\nrequire = {name}\n");
        }
        if !self.hopeless.is_empty() {
            text += "\n# Refused as well, and opened by no line that could be added here:\n";
            text.extend(
                self.hopeless.iter().map(|(what, need)| format!("#   {}  ({})\n", plain(what), plain(&need.who()))),
            );
        }
        text
    }

    /// What is left to the reader, in a sentence each.
    pub fn undecided(&self) -> Vec<String> {
        let marked = self.marked().into_values().flatten().filter(|(standing, _)| *standing != Standing::Looked);
        let marked = marked.map(|(standing, line)| format!("{}: {} ({})", standing.mark(), line.path, line.who));
        let network = self.addresses.iter().chain(&self.network);
        let network = network.map(|(address, need)| format!("network: {address} ({})", need.who()));
        let hopeless = self.hopeless.iter().map(|(what, need)| format!("no line opens it: {what} ({})", need.who()));
        marked.chain(network).chain(hopeless).collect()
    }

    fn list(&self, name: &str, own: &[Line], left: &[(Standing, Line)]) -> String {
        let mut text = format!("{name} = [\n");
        let entry = |line: &Line| {
            let note = line.note.as_ref().map(|note| format!("; {}", plain(note))).unwrap_or_default();
            format!("{},  # {}{note}\n", quoted(&self.entry(&line.path)), plain(&line.who))
        };
        text.extend(own.iter().map(|line| format!("    {}", entry(line))));
        text.extend(left.iter().map(|(standing, line)| format!("    # {}: {}", standing.mark(), entry(line))));
        text + "]\n"
    }

    /// An entry that means just `path`, by placeholders where one fits.
    fn entry(&self, path: &str) -> String {
        let places = [("workspace", &self.places.workspace), ("home", &self.places.home)];
        let found = places.into_iter().find_map(|(name, place)| {
            let rest = path.strip_prefix(place.as_deref()?)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{{{name}}}{rest}"))
        });
        let entry = found.unwrap_or_else(|| path.to_owned());
        if path.starts_with('/') && entry.contains(['*', '?', '[', '\\']) { format!("literal:{entry}") } else { entry }
    }

    fn network(&self) -> String {
        let mut text = String::new();
        if !self.network.is_empty() {
            text += "\n# Lines that open more of the network.\n";
        }
        for (line, need) in &self.network {
            // Writing to a string does not fail.
            let _ = writeln!(text, "#   {}  ({})", plain(line), plain(&need.who()));
        }
        if self.addresses.is_empty() {
            return text;
        }
        text += "\n# Addresses that were asked for. `network.mode = \"allowlist\"` opens what network.allow names: hosts by name,\n\
                        # and addresses.\n";
        for (address, need) in &self.addresses {
            let kind = kind_of(address).map(|kind| format!("{kind}: ")).unwrap_or_default();
            let _ = writeln!(text, "#   {kind}{}  ({})", quoted(address), plain(&need.who()));
        }
        text
    }

    fn limits(&self, usage: &Usage) -> String {
        let mut text = "\n[limits]\n".to_owned();
        for (name, value) in &self.raised {
            let value = match *name {
                "wall" | "cpu" => format!("\"{value}ms\""),
                "memory" => format!("\"{value}B\""),
                _ => value.to_string(),
            };
            text += &format!("{name} = {value}  # raised: the run was ended by a lower one\n");
        }
        let cpu = usage.user_us.zip(usage.system_us).map(|(user, system)| user.saturating_add(system));
        let measured = [
            ("wall", Some(time(usage.wall_us)), format!("{} ms", usage.wall_us / 1000)),
            ("cpu", cpu.map(time), format!("{} ms", cpu.unwrap_or(0) / 1000)),
            (
                "memory",
                usage.peak_memory_bytes.map(size),
                format!("{} KiB", usage.peak_memory_bytes.unwrap_or(0) / 1024),
            ),
            // Of those that were started, nobody knows how many there were at once.
            ("processes", usage.tasks.map(count), format!("at most {}", usage.tasks.unwrap_or(0))),
        ];
        for (name, value, seen) in measured {
            if let Some(value) = value.filter(|_| !self.raised.contains_key(name)) {
                text += &format!("# {name} = {value}  # {seen} seen\n");
            }
        }
        text
    }
}

/// Four times what was seen, at least ten seconds.
fn time(microseconds: u64) -> String {
    format!("\"{}s\"", (microseconds.saturating_mul(4) / 1_000_000).max(10))
}

/// Twice what was seen, at least 64 MiB.
fn size(bytes: u64) -> String {
    format!("\"{}MiB\"", (bytes.saturating_mul(2) >> 20).max(64))
}

/// Twice what was seen, at least 16.
fn count(seen: u64) -> String {
    seen.saturating_mul(2).max(16).to_string()
}

/// What is to be known of an address before it is opened.
fn kind_of(address: &str) -> Option<&'static str> {
    let (host, _) = address.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']).parse::<IpAddr>().ok()?.to_canonical();
    let metadata = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"];
    if metadata.iter().any(|own| own.parse() == Ok(host)) {
        return Some("metadata service");
    }
    let private = match host {
        IpAddr::V4(host) => {
            // 100.64.0.0/10 is shared by networks behind one address (RFC 6598).
            let [first, second, ..] = host.octets();
            host.is_private() || host.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(host) => host.is_unique_local() || host.is_unicast_link_local(),
    };
    if host.is_loopback() || host.is_unspecified() { Some("this machine") } else { private.then_some("private") }
}

/// Text in a comment: it cannot end its line, nor steer a terminal.
fn plain(text: &str) -> String {
    let quoted = quoted(text);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
