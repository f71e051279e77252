//! Strings of the profile language. Whatever a path holds, it stays one string and ends where it is meant to.

use std::fmt::Write;

/// The longest string written in one piece, in bytes. The reader of the language is TinyScheme, whose buffer for a string was once
/// this short; longer ones are put together by `string-append`, as profiles that Apple ships do it.
const PIECE: usize = 200;

/// `text` as an expression of the profile language.
///
/// Only two escapes are used, `\"` and `\\`, which are those that every Scheme knows; all other characters stand for
/// themselves inside quotes, a line's end, a parenthesis and a semicolon included.
pub fn string(text: &str) -> String {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > PIECE {
        let mut end = PIECE;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        pieces.push(quoted(piece));
        rest = after;
    }
    pieces.push(quoted(rest));
    match pieces.as_slice() {
        [one] => one.clone(),
        many => format!("(string-append {})", many.join(" ")),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Which paths a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Filter {
    /// This path alone.
    Literal(String),
    /// This path and all beneath it.
    Subpath(String),
    /// What an expression matches.
    Expression(String),
    /// The same, and only directories and symbolic links.
    FoldersAndLinks(Box<Self>),
}

impl Filter {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Literal(path) => format!("(literal {})", string(path)),
            Self::Subpath(path) => format!("(subpath {})", string(path)),
            Self::Expression(expression) => format!("(regex {})", string(expression)),
            Self::FoldersAndLinks(inner) => {
                format!("(require-all {} (require-any (vnode-type DIRECTORY) (vnode-type SYMLINK)))", inner.text())
            }
        }
    }
}

/// Writes `(action operations filters…)`, one filter a line; nothing for no filters, since a rule without filters means everything.
pub(crate) fn rule(out: &mut String, action: &str, operations: &str, filters: &[Filter]) {
    if filters.is_empty() {
        return;
    }
    let _ = write!(out, "({action} {operations}");
    for filter in filters {
        let _ = write!(out, "\n    {}", filter.text());
    }
    out.push_str(")\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_and_a_backslash_do_not_end_a_string() {
        assert_eq!(string(r#"/a"b\c"#), r#""/a\"b\\c""#);
    }

    #[test]
    fn a_long_text_is_put_together_from_pieces_that_end_between_characters() {
        let text = format!("/{}", "ü".repeat(150));
        let written = string(&text);
        assert!(written.starts_with("(string-append \"/ü"), "{written}");
        assert_eq!(written.matches('ü').count(), 150);
    }

    #[test]
    fn a_rule_about_nothing_is_none() {
        let mut out = String::new();
        rule(&mut out, "allow", "file-read*", &[]);
        assert_eq!(out, "");
    }
}
