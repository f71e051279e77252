//! Where paths lead on a Mac: the kernel judges a file by its real path, so rules must name that.

use cofferdam_bridge::path_pattern::{CompiledPattern, Part};
use cofferdam_bridge::profile::PathPattern;

/// The data volume, whose folders firm links show beneath the root (`/usr/share/firmlinks` on every Mac).
pub(crate) const DATA_VOLUME: &str = "/System/Volumes/Data";

/// Links that every Mac has in its root (hier(7) of macOS: `/etc`, `/tmp` and `/var` lead to `/private`).
pub(crate) const ROOT_LINKS: [&str; 3] = ["tmp", "var", "etc"];

/// What is there: the one thing that a profile depends on beside the policy.
pub trait Names {
    /// The real path of what exists at `path`, links followed and spelt as the volume spells it; `None` where nothing is.
    fn real_path(&self, path: &str) -> Option<String>;
}

/// A Mac on which only the links of the root are there, for tests and for looking at profiles elsewhere.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it is complete: it knows what every Mac has")]
pub struct EveryMac;

impl Names for EveryMac {
    fn real_path(&self, path: &str) -> Option<String> {
        if path == "/" || path == "/private" {
            return Some(path.to_owned());
        }
        let link = path.strip_prefix("/private/").or_else(|| path.strip_prefix('/'));
        link.filter(|name| ROOT_LINKS.contains(name)).map(|name| format!("/private/{name}"))
    }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it is complete: it asks the operating system")]
pub struct HostNames;

impl Names for HostNames {
    fn real_path(&self, path: &str) -> Option<String> {
        let real = std::fs::canonicalize(path).ok()?.into_os_string().into_string().ok()?;
        // The same folder, by the name that it has beneath the root.
        let shown = real.strip_prefix(DATA_VOLUME).filter(|rest| rest.starts_with('/') && same_file(&real, rest));
        Some(shown.map_or_else(|| real.clone(), str::to_owned))
    }
}

fn same_file(one: &str, other: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    let of = |path: &str| std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    of(one).is_some() && of(one) == of(other)
}

/// `path` with its longest existing part replaced by where that leads.
pub(crate) fn canonical(names: &dyn Names, path: &str) -> String {
    let mut existing = path;
    loop {
        if let Some(real) = names.real_path(if existing.is_empty() { "/" } else { existing }) {
            let rest = path.get(existing.len()..).unwrap_or_default();
            let joined = format!("{}{rest}", real.trim_end_matches('/'));
            return if joined.is_empty() { "/".to_owned() } else { joined };
        }
        match existing.rfind('/') {
            Some(at) => existing = existing.get(..at).unwrap_or_default(),
            None => return path.to_owned(),
        }
    }
}

/// How many leading components of a path exist under just that path.
pub(crate) fn existing(names: &dyn Names, parts: &[Part]) -> usize {
    let mut path = String::new();
    let mut count = 0;
    for part in parts {
        let Part::Literal(name) = part else { break };
        path = format!("{path}/{name}");
        if names.real_path(&path).as_deref() != Some(path.as_str()) {
            break;
        }
        count += 1;
    }
    count
}

/// `pattern` with its literal beginning replaced by where that leads.
pub(crate) fn canonical_pattern(names: &dyn Names, pattern: &PathPattern) -> Option<PathPattern> {
    let compiled = CompiledPattern::new(pattern).ok()?;
    let parts = compiled.parts();
    let literal =
        parts.iter().map_while(|part| if let Part::Literal(name) = part { Some(name.as_str()) } else { None });
    let beginning: String = literal.flat_map(|name| ["/", name]).collect();
    let leads = canonical(names, if beginning.is_empty() { "/" } else { &beginning });
    Some(match pattern {
        PathPattern::Literal(_) => PathPattern::Literal(leads),
        PathPattern::Glob(text) => {
            let whole = text.split('/').filter(|component| !component.is_empty() && *component != ".");
            let count = parts.iter().take_while(|part| matches!(part, Part::Literal(_))).count();
            let rest: String = whole.skip(count).flat_map(|component| ["/", component]).collect();
            PathPattern::Glob(format!("{}{rest}", escaped(leads.trim_end_matches('/'))))
        }
        _ => return None,
    })
}

/// `text` as part of a glob that means just it.
pub(crate) fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            plain.push('\\');
        }
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_of_the_root_are_followed_also_for_what_is_not_there() {
        for (path, real) in [
            ("/tmp", "/private/tmp"),
            ("/tmp/a/b", "/private/tmp/a/b"),
            ("/etc/ssl", "/private/etc/ssl"),
            ("/tmpx", "/tmpx"),
            ("/", "/"),
        ] {
            assert_eq!(canonical(&EveryMac, path), real);
        }
    }

    #[test]
    fn what_the_links_lead_to_is_there() {
        let parts =
            |path: &str| CompiledPattern::new(&PathPattern::Literal(path.to_owned())).unwrap().parts().into_owned();
        assert_eq!(existing(&EveryMac, &parts("/private/etc/x")), 2);
        assert_eq!(existing(&EveryMac, &parts("/etc/x")), 0, "a link is not what it leads to");
    }

    #[test]
    fn a_glob_keeps_what_comes_after_its_literal_beginning() {
        let glob = |text: &str| canonical_pattern(&EveryMac, &PathPattern::Glob(text.to_owned()));
        assert_eq!(glob("/tmp/a/**/[x]"), Some(PathPattern::Glob("/private/tmp/a/**/[x]".to_owned())));
        assert_eq!(glob(r"/w\*/?"), Some(PathPattern::Glob(r"/w\*/?".to_owned())));
        assert_eq!(glob("/**/x"), Some(PathPattern::Glob("/**/x".to_owned())));
    }
}
