//! Names that differ for us and are the same for a volume of macOS.
//!
//! APFS takes names that differ in case or in Unicode normal form for the same (unless it was made case-sensitive). A rule that takes
//! something away must match all of them for names that a guest can still make: `.GIT/hooks` is `.git/hooks`, and so is a name with
//! U+212A KELVIN SIGN, which is canonically equal to `K`.

/// How names in what takes away are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spelling {
    /// As they stand: for a volume that tells all names apart.
    Exact,
    /// With all that a volume of macOS takes for the same.
    #[default]
    Folded,
}

/// What a text becomes that folds to several letters (CaseFolding.txt of Unicode, status F): the letters, and the characters for them.
const LIGATURES: [(&str, &str); 9] = [
    ("ffi", "\u{fb03}"),
    ("ffl", "\u{fb04}"),
    ("ff", "\u{fb00}"),
    ("fi", "\u{fb01}"),
    ("fl", "\u{fb02}"),
    ("ss", "\u{df}"),
    ("ss", "\u{1e9e}"),
    ("st", "\u{fb05}"),
    ("st", "\u{fb06}"),
];

/// The characters beyond ASCII that one ASCII character is equal to or folded from.
fn lone(character: char) -> Option<&'static str> {
    match character {
        'k' => Some("\u{212a}"),
        's' => Some("\u{17f}"),
        ';' => Some("\u{37e}"),
        '`' => Some("\u{1fef}"),
        _ => None,
    }
}

/// Whether a name has spellings that are not known here: it holds characters beyond ASCII.
pub(crate) fn is_unknown(name: &str) -> bool {
    !name.is_ascii()
}

/// An expression that matches every spelling of `name`; `escape` writes a plain character.
///
/// A run of letters with ligatures is written by what can come first: each way is one alternative, and what follows is written
/// once for each, which stays small for the short runs that names have.
pub(crate) fn folded(name: &str, escape: impl Fn(char) -> String + Copy) -> String {
    let lower = name.to_ascii_lowercase();
    let mut out = String::new();
    let mut rest = lower.as_str();
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|character| !matches!(character, 'f' | 'i' | 'l' | 's' | 't')).unwrap_or(rest.len());
        if run == 0 {
            out.push_str(&one(first, escape));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (letters, after) = rest.split_at(run);
        out.push_str(&run_of(letters, escape));
        rest = after;
    }
    out
}

fn one(character: char, escape: impl Fn(char) -> String) -> String {
    let upper = character.to_ascii_uppercase();
    let plain = if upper == character { escape(character) } else { format!("[{character}{upper}]") };
    match lone(character) {
        Some(other) => format!("({plain}|{other})"),
        None => plain,
    }
}

/// All spellings of a run of letters that ligatures are made of.
fn run_of(letters: &str, escape: impl Fn(char) -> String + Copy) -> String {
    let mut out = String::new();
    let mut rest = letters;
    while let Some(first) = rest.chars().next() {
        // Ligatures overlap in nothing longer than three letters: `ffi` is taken whole, then what is left goes on.
        let longest = LIGATURES.iter().filter(|(text, _)| rest.starts_with(text)).map(|(text, _)| text.len()).max();
        let Some(length) = longest else {
            out.push_str(&one(first, escape));
            rest = rest.get(1..).unwrap_or_default();
            continue;
        };
        // Overlaps such as `fff` or `sst` would need each way that it can be cut: any number of characters covers them all.
        let overlaps = LIGATURES.iter().any(|(text, _)| {
            (1..length).any(|at| rest.get(at..).is_some_and(|tail| tail.starts_with(text) && at + text.len() > length))
        });
        if overlaps {
            out.push_str("[^/]+");
            return out;
        }
        let (cut, after) = rest.split_at(length);
        out.push_str(&ways(cut, escape));
        rest = after;
    }
    out
}

/// Each way to write letters that are a ligature as a whole.
fn ways(letters: &str, escape: impl Fn(char) -> String + Copy) -> String {
    let apart: String = letters.chars().map(|letter| one(letter, escape)).collect();
    let mut ways = vec![apart];
    for (text, ligature) in LIGATURES {
        if text == letters {
            ways.push(ligature.to_owned());
        } else if let Some(rest) = letters.strip_prefix(text) {
            ways.push(ligature.to_owned() + &rest.chars().map(|letter| one(letter, escape)).collect::<String>());
        } else if let Some(rest) = letters.strip_suffix(text) {
            ways.push(rest.chars().map(|letter| one(letter, escape)).collect::<String>() + ligature);
        }
    }
    format!("({})", ways.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Expression;

    fn matches(name: &str, asked: &str) -> bool {
        let text = format!("^{}$", folded(name, |character| format!("\\{character}")));
        Expression::parse(&text).unwrap().matches_both_ways(asked)
    }

    #[test]
    fn case_and_the_kelvin_sign_and_the_long_s_are_no_other_name() {
        for asked in ["hooks", "HOOKS", "hoo\u{212a}s", "hook\u{17f}", "HoO\u{212a}\u{17f}"] {
            assert!(matches("hooks", asked), "{asked}");
        }
        for asked in ["hook", "hookss", "hoo", "xhooks"] {
            assert!(!matches("hooks", asked), "{asked}");
        }
    }

    #[test]
    fn ligatures_are_no_other_name() {
        for asked in ["config", "con\u{fb01}g", "CONFIG"] {
            assert!(matches("config", asked), "{asked}");
        }
        for asked in ["staffing", "sta\u{fb00}ing", "sta\u{fb03}ng", "staf\u{fb01}ng", "\u{fb06}affing"] {
            assert!(matches("staffing", asked), "{asked}");
        }
    }

    #[test]
    fn what_can_be_cut_in_several_ways_is_matched_however_it_is_written() {
        for asked in ["fff", "\u{fb00}f", "f\u{fb00}"] {
            assert!(matches("fff", asked), "{asked}");
        }
        assert!(matches("passt", "pas\u{fb06}") && matches("passt", "pa\u{df}t"));
    }
}
