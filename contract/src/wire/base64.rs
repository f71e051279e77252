//! Base64 (RFC 4648, section 4, with padding): how bytes stand in JSON.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// No letter of the alphabet.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Encodes bytes, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let letter = |value: u32| ALPHABET.get((value & 63) as usize).copied().unwrap_or(b'=');
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    let (groups, rest) = bytes.as_chunks::<3>();
    for [one, two, three] in groups {
        let bits = u32::from(*one) << 16 | u32::from(*two) << 8 | u32::from(*three);
        text.extend_from_slice(&[letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)]);
    }
    match rest {
        [one] => {
            let bits = u32::from(*one) << 16;
            text.extend_from_slice(&[letter(bits >> 18), letter(bits >> 12), b'=', b'=']);
        }
        [one, two] => {
            let bits = u32::from(*one) << 16 | u32::from(*two) << 8;
            text.extend_from_slice(&[letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), b'=']);
        }
        _ => {}
    }
    // The alphabet is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// Decodes; `None` for what is not exactly one encoding of some bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|letter| **letter == b'=').count();
    let letters = text.get(..text.len() - padding)?;
    let (groups, rest) = letters.as_chunks::<4>();
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    for group in groups {
        let values = group.map(|letter| VALUES.get(usize::from(letter)).copied().unwrap_or(NONE));
        let bits = values.iter().fold(0_u32, |bits, value| bits << 6 | u32::from(value & 63));
        // No letter has a value beyond 63.
        if values.iter().fold(0, |all, value| all | value) > 63 {
            return None;
        }
        let [_, one, two, three] = bits.to_be_bytes();
        bytes.extend_from_slice(&[one, two, three]);
    }
    last(rest, &mut bytes)?;
    Some(bytes)
}

/// The one or two bytes that two or three letters before padding mean.
fn last(letters: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let mut bits = 0_u32;
    for at in 0..4 {
        let value = letters.get(at).map_or(0, |letter| VALUES.get(usize::from(*letter)).copied().unwrap_or(NONE));
        if value == NONE {
            return None;
        }
        bits = bits << 6 | u32::from(value);
    }
    let whole = bits.to_be_bytes();
    let (kept, rest) = whole.get(1..)?.split_at_checked(letters.len().saturating_sub(1))?;
    // What stands behind the last byte must be nothing, so that each text means other bytes.
    if letters.len() == 1 || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    bytes.extend_from_slice(kept);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_hold_both_ways() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn what_is_no_encoding_is_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9v\n", "Z g=", "Zg==Zg==", "_w==", "Zm9="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).unwrap(), all);
    }
}
