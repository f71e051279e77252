//! JSON (RFC 8259), strictly: UTF-8, no name twice, bounded depth, nothing after the value.

use super::data::Data;
use super::fault::WireFault;
use super::name::Name;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

/// Maps with fewer names than this are searched as they are.
const SMALL: usize = 16;

/// Reads one value nested at most `depth` deep; a plain value has depth 1.
///
/// # Errors
/// `invalid_utf8`, `duplicate_key`, `too_deep`, else `malformed`.
pub fn decode(bytes: &[u8], depth: usize) -> Result<Data, WireFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| WireFault::InvalidUtf8)?;
    let fault = Cell::new(WireFault::Malformed);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Seed { depth, fault: &fault };
    let value = seed.deserialize(&mut deserializer).map_err(|_| fault.get())?;
    deserializer.end().map_err(|_| WireFault::Malformed)?;
    Ok(value)
}

/// Writes one value, on one line.
pub fn encode(value: &Data, into: &mut Vec<u8>) {
    // Writing into memory does not fail, and every value has a JSON form: names are text, numbers are finite or become null.
    let _ = serde_json::to_writer(into, value);
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    fault: &'a Cell<WireFault>,
}

impl Seed<'_> {
    fn deeper(self) -> Option<Self> {
        let depth = self.depth.checked_sub(1).filter(|depth| *depth > 0);
        if depth.is_none() {
            self.fault.set(WireFault::TooDeep);
        }
        Some(Self { depth: depth?, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(u64::try_from(value).map_or(Data::Negative(value), Data::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Number::from_f64(value).map_or(Data::Null, |number| Data::from(&number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Data, E> {
        Ok(Data::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Data, A::Error> {
        let inner = self.deeper().ok_or_else(|| A::Error::custom("too deep"))?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Data::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let inner = self.deeper().ok_or_else(|| A::Error::custom("too deep"))?;
        let mut entries: Vec<(Name, Data)> = Vec::new();
        let mut seen = Names::default();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            if !seen.first(&name, &entries) {
                self.fault.set(WireFault::DuplicateKey);
                return Err(A::Error::custom("a name stands twice"));
            }
            let value = map.next_value_seed(inner)?;
            entries.push((name, value));
        }
        Ok(Data::Map(entries))
    }
}

/// A name, which is seldom worth memory of its own.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name::from(name))
    }
}

/// The names of a map so far. A large map must not cost the square of its size.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Whether `name` is none of those that `entries` holds.
    pub(super) fn first(&mut self, name: &str, entries: &[(Name, Data)]) -> bool {
        if entries.len() < SMALL {
            return entries.iter().all(|(own, _)| **own != *name);
        }
        if self.0.is_empty() {
            self.0.extend(entries.iter().map(|(own, _)| own.to_string()));
        }
        self.0.insert(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Data, WireFault> {
        decode(text.as_bytes(), 8)
    }

    #[test]
    fn values_are_what_they_say() {
        let value = read(r#"{"a":[1,-2,1.5,true,null],"b":"x\u00e4"}"#).unwrap();
        let list = [Data::Unsigned(1), Data::Negative(-2), Data::Float(1.5), Data::Bool(true), Data::Null];
        assert_eq!(value, Data::map([("a", Data::List(list.to_vec())), ("b", Data::text("xä"))]));
    }

    #[test]
    fn each_fault_has_its_name() {
        let deep = "[".repeat(9) + &"]".repeat(9);
        let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        let table = [
            (r#"{"a":1,"a":2}"#.to_owned(), WireFault::DuplicateKey),
            (r#"{"b":{"a":1,"\u0061":2}}"#.to_owned(), WireFault::DuplicateKey),
            (format!("{{{many}\"k3\":1}}"), WireFault::DuplicateKey),
            (deep, WireFault::TooDeep),
            ("[".repeat(100_000), WireFault::TooDeep),
            ("{".to_owned(), WireFault::Malformed),
            ("{} {}".to_owned(), WireFault::Malformed),
            ("NaN".to_owned(), WireFault::Malformed),
            ("'a'".to_owned(), WireFault::Malformed),
            ("1e999".to_owned(), WireFault::Malformed),
            (String::new(), WireFault::Malformed),
            (r#""\ud800""#.to_owned(), WireFault::Malformed),
        ];
        for (text, fault) in table {
            assert_eq!(read(&text), Err(fault), "{}", text.chars().take(40).collect::<String>());
        }
        assert_eq!(decode(b"\"\xff\"", 8), Err(WireFault::InvalidUtf8));
    }

    #[test]
    fn eight_deep_is_read_where_eight_are_allowed() {
        assert!(read(&("[".repeat(7) + "1" + &"]".repeat(7))).is_ok());
        assert_eq!(read(&("[".repeat(8) + "1" + &"]".repeat(8))), Err(WireFault::TooDeep));
    }
}
