//! Lines of a policy as a person can paste them: what kernel and planes propose where they refuse something.

use std::fmt::Write;

/// `key = ["entry"]`, where the entry means just `path` and all beneath it. `None`: no entry can say that path.
pub fn path_line(key: &str, path: &str) -> Option<String> {
    Some(format!("{key} = [{}]", quoted(&path_entry(path)?)))
}

/// The entry of a path list that means `path`: wildcards in it are plain characters. `None`: it is no absolute path, or has an
/// ambiguous brace, or a component that no pattern matches.
pub fn path_entry(path: &str) -> Option<String> {
    // A brace begins a placeholder wherever it stands.
    let fits = path.starts_with('/') && !path.contains(['{', '\0']) && !path.split('/').any(|part| part == "..");
    if !fits {
        return None;
    }
    Some(if path.contains(['*', '?', '[', '\\']) { format!("literal:{path}") } else { path.to_owned() })
}

/// `text` as a basic string of TOML.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a string does not fail.
            character if character.is_control() || steers(character) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Characters that change direction or are not seen: in a line that a person reviews they stand as what they are.
#[must_use]
pub fn steers(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_line_that_means_just_it() {
        assert_eq!(path_line("filesystem.read", "/srv/a b").unwrap(), r#"filesystem.read = ["/srv/a b"]"#);
        assert_eq!(path_line("filesystem.read", "/srv/*").unwrap(), r#"filesystem.read = ["literal:/srv/*"]"#);
        assert_eq!(path_line("filesystem.read", "/s\"\\x").unwrap(), r#"filesystem.read = ["literal:/s\"\\x"]"#);
    }

    #[test]
    fn what_steers_a_terminal_or_ends_a_line_stands_as_its_number() {
        assert_eq!(quoted("a\n\u{1b}\u{202e}\u{7f}"), r#""a\U0000000A\U0000001B\U0000202E\U0000007F""#);
    }

    #[test]
    fn what_no_entry_can_say_has_no_line() {
        for path in ["relative", "/a/{home}", "/a/../b"] {
            assert_eq!(path_entry(path), None, "{path}");
        }
    }
}
