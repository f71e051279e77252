//! What a run's programs show to its proxy.

use super::super::upstream::base64;
use std::fmt;
use std::io;

/// Random bytes in a secret.
const BYTES: usize = 16;
/// The user's name; it tells nothing.
const USER: &str = "cofferdam";

/// A name and a secret that one proxy knows.
pub(super) struct Credential {
    secret: String,
    encoded: String,
}

/// It stays out of logs.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

impl Credential {
    /// One that nobody can guess.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let encoded = base64(format!("{USER}:{secret}").as_bytes());
        Ok(Self { secret, encoded })
    }

    /// As it stands in a URL.
    pub(super) fn user_info(&self) -> String {
        format!("{USER}:{}", self.secret)
    }

    /// Whether `value` of a `Proxy-Authorization` is it, in the scheme Basic (RFC 7617).
    pub(super) fn is_basic(&self, value: &str) -> bool {
        let Some((scheme, token)) = value.split_once(' ') else { return false };
        scheme.eq_ignore_ascii_case("basic") && same(token.trim_matches(' ').as_bytes(), self.encoded.as_bytes())
    }

    /// Whether a name and a password are it.
    pub(super) fn is(&self, user: &[u8], password: &[u8]) -> bool {
        let (user, password) = (same(user, USER.as_bytes()), same(password, self.secret.as_bytes()));
        user && password
    }
}

/// Compares in a time that tells nothing of where the difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_one_will_do() {
        let (own, other) = (Credential::new().unwrap(), Credential::new().unwrap());
        let basic = |text: &str| base64(text.as_bytes());
        assert!(own.is_basic(&format!("bAsIc {}", basic(&own.user_info()))));
        assert!(own.is(USER.as_bytes(), own.secret.as_bytes()));
        for value in [
            String::new(),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            format!("Bearer {}", own.encoded),
            format!("Basic {}", basic(&other.user_info())),
            format!("Basic {}=", own.encoded),
            format!("Basic {}", basic(&format!("root:{}", own.secret))),
        ] {
            assert!(!own.is_basic(&value), "{value}");
        }
        assert!(!own.is(b"", b"") && !own.is(USER.as_bytes(), other.secret.as_bytes()));
        assert!(!format!("{own:?}").contains(&own.secret));
    }
}
