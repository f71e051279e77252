//! From a pattern of a policy to a filter of the profile language that means the same.
//!
//! It is not documented whether the kernel's matcher (AppleMatch) reads a path as bytes or as characters. What is written here means
//! the same either way, but for `?` and sets beyond ASCII: there, what gives covers a little less and what takes away a little more.

use super::spelling::{Spelling, folded, is_unknown};
use super::text::Filter;
use cofferdam_bridge::path_pattern::{Part, Token};

/// What a rule does with what it matches, which decides to which side an expression may err.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    Gives,
    Takes,
}

/// How far an expression reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What it matches and all beneath.
    Beneath,
    /// What it matches alone.
    Alone,
}

/// How one rule's patterns are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    pub(crate) sense: Sense,
    pub(crate) spelling: Spelling,
    /// So many leading components exist already: a volume gives their names as they were made, however they are asked for.
    pub(crate) fixed: usize,
    pub(crate) reach: Reach,
}

/// Components with names that have spellings unknown here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsayable(pub(crate) String);

/// One printable ASCII character, and one to four units beyond: a character in UTF-8, as bytes or as itself.
const PRINTABLE: std::ops::RangeInclusive<char> = ' '..='~';
const BEYOND: &str = "[^ -~/][^ -~/]?[^ -~/]?[^ -~/]?";

impl Writing {
    /// The filter for `parts`; beneath `above` (`/System/Volumes/Data`) where that is not empty.
    pub(crate) fn filter(self, above: &str, parts: &[Part]) -> Result<Filter, Unsayable> {
        if parts.iter().all(|part| *part == Part::AnyDepth) && above.is_empty() {
            let root = "/".to_owned();
            let alone = parts.is_empty() && self.reach == Reach::Alone;
            return Ok(if alone { Filter::Literal(root) } else { Filter::Subpath(root) });
        }
        if let Some(path) = self.plain(above, parts) {
            return Ok(match self.reach {
                Reach::Beneath => Filter::Subpath(path),
                Reach::Alone => Filter::Literal(path),
            });
        }
        let mut text = format!("^{}", escaped(above));
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::AnyDepth if at > 0 && parts.get(at - 1) == Some(part) => {}
                Part::AnyDepth => text.push_str(DEEPER),
                Part::Literal(name) => {
                    text.push('/');
                    text.push_str(&self.name(name, at)?);
                }
                Part::Wild(tokens) => {
                    text.push('/');
                    text.push_str(&self.wild(tokens)?);
                }
                _ => return Err(Unsayable("a kind of wildcard".to_owned())),
            }
        }
        if self.reach == Reach::Beneath && parts.last() != Some(&Part::AnyDepth) {
            text.push_str(DEEPER);
        }
        text.push('$');
        Ok(Filter::Expression(text))
    }

    /// The path, where the pattern is one and no other spelling of it can be made.
    fn plain(self, above: &str, parts: &[Part]) -> Option<String> {
        let mut path = above.to_owned();
        for (at, part) in parts.iter().enumerate() {
            let Part::Literal(name) = part else { return None };
            if self.folds(at) {
                return None;
            }
            path.push('/');
            path.push_str(name);
        }
        Some(if path.is_empty() { "/".to_owned() } else { path })
    }

    fn folds(self, at: usize) -> bool {
        self.sense == Sense::Takes && self.spelling == Spelling::Folded && at >= self.fixed
    }

    fn name(self, name: &str, at: usize) -> Result<String, Unsayable> {
        if !self.folds(at) {
            return Ok(escaped(name));
        }
        if is_unknown(name) {
            return Err(Unsayable(name.to_owned()));
        }
        Ok(folded(name, escape))
    }

    fn wild(self, tokens: &[Token]) -> Result<String, Unsayable> {
        if tokens.iter().all(|token| *token == Token::AnyText) {
            return Ok("[^/]+".to_owned());
        }
        let fold = self.sense == Sense::Takes && self.spelling == Spelling::Folded;
        let mut text = String::new();
        let mut plain = String::new();
        for token in tokens {
            if let Token::Char(character) = token {
                plain.push(*character);
                continue;
            }
            text.push_str(&self.plain_run(&plain, fold)?);
            plain.clear();
            text.push_str(&match token {
                Token::AnyText => "[^/]*".to_owned(),
                one => self.one_of(one, fold),
            });
        }
        text.push_str(&self.plain_run(&plain, fold)?);
        Ok(text)
    }

    fn plain_run(self, plain: &str, fold: bool) -> Result<String, Unsayable> {
        match (fold, is_unknown(plain)) {
            (false, _) => Ok(escaped(plain)),
            (true, false) => Ok(folded(plain, escape)),
            (true, true) => Err(Unsayable(plain.to_owned())),
        }
    }

    /// One character of a set, or any.
    fn one_of(self, token: &Token, fold: bool) -> String {
        let is = |character: char| {
            token.matches(character)
                || (fold
                    && (token.matches(character.to_ascii_lowercase()) || token.matches(character.to_ascii_uppercase())))
        };
        let mut ways: Vec<String> = Vec::new();
        let mut inside = String::new();
        let mut characters = PRINTABLE.filter(|character| *character != '/' && is(*character)).peekable();
        while let Some(first) = characters.next() {
            if needs_care(first) {
                ways.push(escape(first));
                continue;
            }
            let mut last = first;
            while let Some(next) =
                characters.next_if(|next| !needs_care(*next) && u32::from(*next) == u32::from(last) + 1)
            {
                last = next;
            }
            inside.push(first);
            if last != first {
                inside.push_str(&format!("-{last}"));
            }
        }
        if !inside.is_empty() {
            ways.insert(0, format!("[{inside}]"));
        }
        let beyond = match token {
            Token::Set { negated: false, ranges } => ranges.iter().any(|(_, last)| !PRINTABLE.contains(last)) || fold,
            _ => true,
        };
        if self.sense == Sense::Takes && beyond {
            ways.push(BEYOND.to_owned());
        }
        if ways.is_empty() {
            // Nothing is meant, and nothing is matched: no name holds a slash.
            return "/".to_owned();
        }
        format!("({})", ways.join("|"))
    }
}

/// Any number of further components. No dot: whether it stands for a line's end, which a name may hold, is not documented.
const DEEPER: &str = "(/[^/]+)*";

/// Characters that mean something inside brackets.
fn needs_care(character: char) -> bool {
    matches!(character, '\\' | ']' | '[' | '^' | '-')
}

fn escaped(text: &str) -> String {
    text.chars().map(escape).collect()
}

/// A character as itself, whatever it means in an expression.
fn escape(character: char) -> String {
    let special =
        matches!(character, '\\' | '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}');
    if special { format!("\\{character}") } else { character.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Expression;
    use cofferdam_bridge::path_pattern::CompiledPattern;
    use cofferdam_bridge::profile::PathPattern;

    fn filter(glob: &str, sense: Sense, spelling: Spelling) -> Filter {
        let pattern = CompiledPattern::new(&PathPattern::Glob(glob.to_owned())).unwrap();
        let writing = Writing { sense, spelling, fixed: 0, reach: Reach::Beneath };
        writing.filter("", &pattern.parts()).unwrap()
    }

    fn matches(glob: &str, sense: Sense, path: &str) -> bool {
        let Filter::Expression(text) = filter(glob, sense, Spelling::Exact) else { panic!("{glob} is no expression") };
        Expression::parse(&text).unwrap().matches_both_ways(path)
    }

    #[test]
    fn an_expression_matches_what_the_pattern_does() {
        let globs = [
            "/g/*.txt",
            "/g/[a-c]x",
            "/g/[!a-c]y",
            "/d/**/end",
            "/e/**/*",
            "/f/*/g",
            r"/l/a\*b*",
            "/g/[]^-]",
            "/g/a?c",
        ];
        let paths = [
            "/g/a.txt",
            "/g/.txt",
            "/g/atxt",
            "/g/a.txt/b",
            "/g/s/a.txt",
            "/g/bx",
            "/g/dx",
            "/g/dy",
            "/g/by",
            "/d/end",
            "/d/1/2/end/x",
            "/d/1/ending",
            "/e",
            "/e/x/y",
            "/f/x/g/y",
            "/f/g",
            "/l/a*b",
            "/l/axb",
            "/g/]",
            "/g/^",
            "/g/-",
            "/g/a",
            "/g/abc",
            "/g/ac",
            "/g/a\nc",
            "/d/a\nb/end",
        ];
        for glob in globs {
            let pattern = CompiledPattern::new(&PathPattern::Glob(glob.to_owned())).unwrap();
            for path in paths {
                assert_eq!(matches(glob, Sense::Takes, path), pattern.matches(path), "{glob} {path:?}");
                if !path.contains('\n') || !glob.contains('?') {
                    assert_eq!(matches(glob, Sense::Gives, path), pattern.matches(path), "{glob} {path:?}");
                }
            }
        }
    }

    #[test]
    fn one_character_beyond_ascii_is_taken_and_not_given() {
        assert!(matches("/g/?", Sense::Takes, "/g/ü") && matches("/g/[!a]", Sense::Takes, "/g/ü"));
        assert!(!matches("/g/?", Sense::Gives, "/g/ü"));
        assert!(!matches("/g/?", Sense::Takes, "/g/ab"));
    }

    #[test]
    fn everything_is_said_without_an_expression() {
        assert_eq!(filter("/**", Sense::Takes, Spelling::Folded), Filter::Subpath("/".to_owned()));
    }

    #[test]
    fn names_beyond_ascii_that_a_guest_could_spell_otherwise_are_not_said() {
        let pattern = CompiledPattern::new(&PathPattern::Literal("/w/café".to_owned())).unwrap();
        let writing = |fixed| Writing { sense: Sense::Takes, spelling: Spelling::Folded, fixed, reach: Reach::Beneath };
        assert_eq!(writing(1).filter("", &pattern.parts()), Err(Unsayable("café".to_owned())));
        assert_eq!(writing(2).filter("", &pattern.parts()), Ok(Filter::Subpath("/w/café".to_owned())));
    }
}
