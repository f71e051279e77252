//! One component of a pattern: plain, with wildcards, or any number of them.

/// One component of a pattern, for planes that say patterns in a language of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A component that must be equal.
    Literal(String),
    /// A component with wildcards.
    Wild(Vec<Token>),
    /// `**`: any number of components, none included.
    AnyDepth,
}

/// A piece of a component with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Token {
    /// This character.
    Char(char),
    /// `?`: any one character.
    AnyChar,
    /// `*`: any number of characters, none included.
    AnyText,
    /// `[…]`: one character of a set.
    Set {
        /// `[!…]`: one that is not in it.
        negated: bool,
        /// First and last of each range.
        ranges: Vec<(char, char)>,
    },
}

impl Part {
    /// The name, where it is spelt out.
    pub(super) fn literal(&self) -> Option<&str> {
        if let Self::Literal(literal) = self { Some(literal) } else { None }
    }

    /// Whether it stands for `component`, which holds no slash.
    pub fn matches(&self, component: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == component,
            Self::Wild(tokens) => tokens_match(tokens, component),
            Self::AnyDepth => true,
        }
    }
}

/// Greedy matching with one place to come back to, which is enough for `*` (each later star makes the earlier ones moot).
fn tokens_match(tokens: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), text.get(at)) {
            (Some(Token::AnyText), _) => {
                star = Some((token, at));
                token += 1;
            }
            (Some(one), Some(character)) if one.matches(*character) => {
                token += 1;
                at += 1;
            }
            (None, None) => return true,
            _ => match star {
                Some((star_token, star_at)) if star_at < text.len() => {
                    star = Some((star_token, star_at + 1));
                    token = star_token + 1;
                    at = star_at + 1;
                }
                _ => return false,
            },
        }
    }
}

impl Token {
    /// Whether it stands for this one character; `*` is no single character.
    pub fn matches(&self, character: char) -> bool {
        match self {
            Self::Char(own) => *own == character,
            Self::AnyChar => true,
            Self::AnyText => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }
        }
    }
}

/// What comes after the last dot of every component that `part` matches, where that is known.
pub(super) fn extension_of(part: &Part) -> Option<String> {
    let Part::Wild(tokens) = part else { return None };
    let plain = |token: &Token| if let Token::Char(character) = token { Some(*character) } else { None };
    let backwards: Vec<char> = tokens.iter().rev().map_while(plain).collect();
    let dot = backwards.iter().position(|character| *character == '.')?;
    Some(backwards.get(..dot)?.iter().rev().collect())
}

/// Whether two unescaped stars follow one another.
pub(super) fn holds_two_stars(component: &str) -> bool {
    let mut before = ' ';
    component.chars().any(|character| {
        let two = before == '*' && character == '*';
        before = if before == '\\' { ' ' } else { character };
        two
    })
}

/// A component of a glob; `None` when a bracket stays open.
pub(super) fn component_of(text: &str) -> Option<Part> {
    let mut tokens = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '*' => Token::AnyText,
            '?' => Token::AnyChar,
            '\\' => Token::Char(rest.next().unwrap_or('\\')),
            '[' => set_of(&mut rest)?,
            other => Token::Char(other),
        });
    }
    if tokens.iter().all(|token| matches!(token, Token::Char(_))) {
        let literal = tokens.iter().filter_map(|token| if let Token::Char(own) = token { Some(*own) } else { None });
        return Some(Part::Literal(literal.collect()));
    }
    Some(Part::Wild(tokens))
}

fn set_of(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut negated = false;
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut first = true;
    loop {
        let character = rest.next()?;
        match character {
            '!' | '^' if first && !negated => {
                negated = true;
                continue;
            }
            ']' if !first => return Some(Token::Set { negated, ranges }),
            start => {
                let start = if start == '\\' { rest.next()? } else { start };
                let mut ahead = rest.clone();
                let end = match (ahead.next(), ahead.next()) {
                    (Some('-'), Some(end)) if end != ']' => {
                        *rest = ahead;
                        end
                    }
                    _ => start,
                };
                ranges.push((start, end));
            }
        }
        first = false;
    }
}
