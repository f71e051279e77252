//! Durations and sizes as people write them.

/// Milliseconds of `500ms`, `120s`, `2m`, `1h`; `none` for no limit.
pub(crate) fn milliseconds(text: &str) -> Result<Option<u64>, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    scaled(text, &units).ok_or_else(|| format!("`{text}` is no duration; write `500ms`, `30s`, `2m`, `1h` or `none`"))
}

/// Bytes of `64KB`, `512MiB`, `1GiB`, `100B`; `none` for no limit.
pub(crate) fn bytes(text: &str) -> Result<Option<u64>, String> {
    let units = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    scaled(text, &units).ok_or_else(|| format!("`{text}` is no size; write `64KiB`, `512MiB`, `1GiB` or `none`"))
}

/// The number before the first unit that fits; the inner `None` is `none`.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    let text = text.trim();
    if text == "none" {
        return Some(None);
    }
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|value| *value > 0).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, value) in [("500ms", 500), ("120s", 120_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(milliseconds(text), Ok(Some(value)), "{text}");
        }
        assert_eq!(milliseconds("none"), Ok(None));
        for text in ["", "5", "s", "-1s", "0s", "1d", "99999999999999999999s"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, value) in [("64KB", 64_000), ("512MiB", 512 << 20), ("1 GiB", 1 << 30), ("7B", 7)] {
            assert_eq!(bytes(text), Ok(Some(value)), "{text}");
        }
        assert!(bytes("12").is_err());
    }
}
