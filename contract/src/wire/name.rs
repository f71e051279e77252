//! The name of a value in a map. Those of every message cost no memory of their own.

use std::fmt;
use std::ops::Deref;

/// A name.
#[derive(Clone)]
pub struct Name(Kept);

#[derive(Clone)]
enum Kept {
    Known(&'static str),
    Own(Box<str>),
}

/// Names that frames are full of.
const KNOWN: [&str; 20] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "code",
    "message",
    "data",
    "vm_id",
    "path",
    "execution_id",
    "execution",
    "event",
    "bytes",
    "credit",
    "request",
    "contents",
    "context_id",
    "profile",
];

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::Known(name) => name,
            Kept::Own(name) => name,
        }
    }
}

/// A name that came with a frame.
impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let known = KNOWN.iter().find(|known| **known == name);
        Self(known.map_or_else(|| Kept::Own(name.into()), |known| Kept::Known(known)))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(Kept::Own(name.into_boxed_str()))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name.0 {
            Kept::Known(name) => name.to_owned(),
            Kept::Own(name) => name.into_string(),
        }
    }
}

impl Name {
    /// A name that is written in a program.
    pub(super) const fn fixed(name: &'static str) -> Self {
        Self(Kept::Known(name))
    }
}

/// By its letters, however it is kept.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_by_their_letters() {
        assert_eq!(Name::from("id"), Name::from("id".to_owned()));
        assert_eq!(Name::from("other"), Name::fixed("other"));
        assert_ne!(Name::from("id"), Name::from("ID"));
        assert_eq!(String::from(Name::from("params")), "params");
        for name in KNOWN {
            assert_eq!(&*Name::from(name), name);
        }
    }
}
