//! Bytes as hexadecimal digits, in small letters.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of `bytes`.
pub(super) fn of(bytes: &[u8]) -> String {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that `text` stands for: just so many, in small letters.
pub(super) fn bytes<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|byte| DIGITS.iter().position(|digit| *digit == byte).and_then(|at| u8::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect();
    if digits.len() == 2 * LENGTH { pairs.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(of(&[0, 0xab, 0x7f]), "00ab7f");
        assert_eq!(bytes::<3>("00ab7f"), Some([0, 0xab, 0x7f]));
        assert_eq!(bytes::<3>("00AB7f"), None);
        assert_eq!(bytes::<3>("00ab7"), None);
        assert_eq!(bytes::<2>("00ab7f"), None);
    }
}
