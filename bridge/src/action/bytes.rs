//! Bytes in JSON: as text where they are UTF-8, else in base64 (RFC 4648, section 4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes, by one of two names: exactly one is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bytes {
    /// UTF-8 text.
    Text(String),
    /// Base64 with padding.
    Base64(String),
}

/// Contents stay out of logs.
impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Base64(text) => write!(f, "Base64({} characters)", text.len()),
        }
    }
}

impl Bytes {
    /// `bytes` as text where they are UTF-8, else in base64.
    pub fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Base64(encode_base64(error.as_bytes())), Self::Text)
    }

    /// The bytes themselves; `None` where they are no base64.
    pub fn decode(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.as_bytes().to_vec()),
            Self::Base64(text) => decode_base64(text),
        }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `bytes` in base64 with padding.
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number =
            (0..3).fold(0_u32, |number, place| number << 8 | u32::from(group.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place) & 63) as usize;
            let shown = place <= group.len();
            text.push(if shown { DIGITS.get(digit).map_or('=', |digit| char::from(*digit)) } else { '=' });
        }
    }
    text
}

/// What `text` says in base64; `None` where it is none. Padding is needed, blanks are not taken, and unused bits must be zero, so that
/// each sequence of bytes has one text.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in body.as_bytes().chunks(4) {
        let mut number = 0_u32;
        for place in 0..4 {
            let value = match group.get(place) {
                Some(digit) => u32::try_from(DIGITS.iter().position(|own| own == digit)?).ok()?,
                None => 0,
            };
            number = number << 6 | value;
        }
        let [_, first, second, third] = number.to_be_bytes();
        let whole = group.len() - 1;
        let rest = [first, second, third];
        if rest.iter().skip(whole).any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend(rest.iter().take(whole));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_and_back() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, encoded) in vectors {
            assert_eq!(encode_base64(plain.as_bytes()), encoded);
            assert_eq!(decode_base64(encoded).unwrap(), plain.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(Bytes::new(all.clone()).decode().unwrap(), all);
    }

    #[test]
    fn what_is_no_base64_is_none() {
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm 9v", "Zm9v\n", "=Zm9", "Zg==Zg=="] {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
    }
}
