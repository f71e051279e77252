//! Path entries of a policy: placeholders, and whether wildcards are meant.

use cofferdam_bridge::path_pattern::CompiledPattern;
use cofferdam_bridge::profile::PathPattern;
use std::borrow::Cow;

/// What placeholders stand for. Absolute paths, but `user`, which is a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placeholders {
    /// `{workspace}`: the directory that is worked in.
    pub workspace: Option<String>,
    /// `{home}`: the user's home directory.
    pub home: Option<String>,
    /// `{user}`: the user's name.
    pub user: Option<String>,
    /// `{cwd}`: the working directory of the run.
    pub cwd: Option<String>,
}

/// Where `{tmp}` is inside.
pub(super) const TEMPORARY: &str = "/tmp";

/// Why an entry gives no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryFault {
    /// A placeholder that has no value for this VM.
    Unset(String),
    /// A fault of the entry itself.
    Wrong(String),
}

impl Placeholders {
    fn value(&self, name: &str) -> Result<Option<&str>, EntryFault> {
        match name {
            "workspace" => Ok(self.workspace.as_deref()),
            "home" => Ok(self.home.as_deref()),
            "user" => Ok(self.user.as_deref()),
            "cwd" => Ok(self.cwd.as_deref()),
            "tmp" => Ok(Some(TEMPORARY)),
            other => Err(EntryFault::Wrong(format!(
                "the placeholder `{{{other}}}` is not known; known are {{workspace}}, {{home}}, {{tmp}}, {{user}} and {{cwd}}"
            ))),
        }
    }

    /// `text` with placeholders replaced; `escape` marks wildcards in their values as plain characters.
    pub(super) fn expand(&self, text: &str, escape: bool) -> Result<String, EntryFault> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            expanded.push_str(before);
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| EntryFault::Wrong(format!("`{text}` has a `{{` without its `}}`")))?;
            let value = self.value(name)?.ok_or_else(|| EntryFault::Unset(name.to_owned()))?;
            expanded.push_str(&if escape { escaped(value) } else { Cow::Borrowed(value) });
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The pattern that a path entry means: `literal:` and `glob:` say so, else a wildcard makes it a glob; `*` alone is everything.
    pub(super) fn pattern(&self, text: &str) -> Result<PathPattern, EntryFault> {
        if text == "*" {
            return Ok(PathPattern::Literal("/".to_owned()));
        }
        let plain = if text.contains('\\') { Cow::Owned(unescaped(text)) } else { Cow::Borrowed(text) };
        let (glob, text) = match (text.strip_prefix("literal:"), text.strip_prefix("glob:")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ if has_wildcard(text) => (true, text),
            // Without a wildcard a backslash still makes the next character a plain one.
            _ => (false, plain.as_ref()),
        };
        if text.starts_with('~') {
            return Err(EntryFault::Wrong(format!("`{text}` begins with `~`; write `{{home}}`")));
        }
        let expanded = self.expand(text, glob)?;
        if expanded.is_empty() {
            return Err(EntryFault::Wrong(format!("`{text}` names no path")));
        }
        let trimmed = if expanded.len() > 1 { expanded.trim_end_matches('/') } else { &expanded };
        let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
        let pattern =
            if glob { PathPattern::Glob(trimmed.to_owned()) } else { PathPattern::Literal(trimmed.to_owned()) };
        CompiledPattern::new(&pattern).map_err(|error| EntryFault::Wrong(error.message))?;
        Ok(pattern)
    }
}

/// `text` as part of a glob that means just it.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let wild = |character: char| matches!(character, '*' | '?' | '[' | '\\');
    if !text.contains(wild) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 4);
    for character in text.chars() {
        plain.extend(wild(character).then_some('\\'));
        plain.push(character);
    }
    Cow::Owned(plain)
}

/// `text` with each backslash gone that stands before a wildcard or another backslash.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match rest.peek() {
            Some('*' | '?' | '[' | '\\') if character == '\\' => plain.extend(rest.next()),
            _ => plain.push(character),
        }
    }
    plain
}

fn has_wildcard(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|character| {
        let wild = !escaped && matches!(character, '*' | '?' | '[');
        escaped = character == '\\' && !escaped;
        wild
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Placeholders {
        Placeholders { workspace: Some("/w/a[1]*".into()), home: Some("/home/u".into()), ..Placeholders::default() }
    }

    #[test]
    fn a_wildcard_makes_a_glob_unless_it_is_said_otherwise() {
        assert_eq!(places().pattern("/a/*"), Ok(PathPattern::Glob("/a/*".into())));
        assert_eq!(places().pattern("literal:/a/*"), Ok(PathPattern::Literal("/a/*".into())));
        assert_eq!(places().pattern(r"/a/\*"), Ok(PathPattern::Literal("/a/*".into())));
        assert_eq!(places().pattern("glob:/a"), Ok(PathPattern::Glob("/a".into())));
    }

    #[test]
    fn fs_22_wildcards_in_the_workspace_s_name_are_plain_characters() {
        assert_eq!(places().pattern("{workspace}/**/.env"), Ok(PathPattern::Glob(r"/w/a\[1]\*/**/.env".into())));
        assert_eq!(places().pattern("{workspace}"), Ok(PathPattern::Literal("/w/a[1]*".into())));
    }

    #[test]
    fn fs_25_what_names_no_place_is_refused() {
        for text in ["..", "/a/../b", "~/x", "relative", "{nonsense}", "/a/{home", "", "literal:", "glob:"] {
            assert!(matches!(places().pattern(text), Err(EntryFault::Wrong(_))), "{text}");
        }
        assert_eq!(places().pattern("{cwd}/x"), Err(EntryFault::Unset("cwd".into())));
    }
}
