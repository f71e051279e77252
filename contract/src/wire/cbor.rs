//! CBOR (RFC 8949), strictly: definite lengths, text for names, no name twice, no tags, bounded depth, nothing after the value.

use super::data::Data;
use super::fault::WireFault;
use super::json::Names;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// Reads one value nested at most `depth` deep; a plain value has depth 1.
///
/// # Errors
/// `invalid_utf8`, `duplicate_key`, `too_deep`, else `malformed`.
pub fn decode(bytes: &[u8], depth: usize) -> Result<Data, WireFault> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder, depth)?;
    if decoder.position() == bytes.len() { Ok(value) } else { Err(WireFault::Malformed) }
}

/// Writes one value.
pub fn encode(value: &Data, into: &mut Vec<u8>) {
    // Writing into memory does not fail.
    let _ = write(value, &mut Encoder::new(into));
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(value: &Data, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    match value {
        Data::Null => encoder.null()?,
        Data::Bool(value) => encoder.bool(*value)?,
        Data::Unsigned(number) => encoder.u64(*number)?,
        Data::Negative(number) => encoder.i64(*number)?,
        Data::Float(number) => encoder.f64(*number)?,
        Data::Text(text) => encoder.str(text)?,
        Data::Bytes(bytes) => encoder.bytes(bytes)?,
        Data::List(values) => {
            encoder.array(values.len() as u64)?;
            return values.iter().try_for_each(|value| write(value, encoder));
        }
        Data::Map(entries) => {
            encoder.map(entries.len() as u64)?;
            return entries.iter().try_for_each(|(name, value)| {
                encoder.str(name)?;
                write(value, encoder)
            });
        }
    };
    Ok(())
}

fn read(decoder: &mut Decoder<'_>, depth: usize) -> Result<Data, WireFault> {
    let malformed = |_| WireFault::Malformed;
    match decoder.datatype().map_err(malformed)? {
        Type::Null => decoder.null().map(|()| Data::Null).map_err(malformed),
        Type::Bool => decoder.bool().map(Data::Bool).map_err(malformed),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64().map(Data::Unsigned).map_err(malformed),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64().map(Data::Negative).map_err(malformed),
        Type::F16 | Type::F32 | Type::F64 => {
            let number = decoder.f64().map_err(malformed)?;
            if number.is_finite() { Ok(Data::Float(number)) } else { Err(WireFault::Malformed) }
        }
        Type::Bytes => decoder.bytes().map(|bytes| Data::Bytes(bytes.to_vec())).map_err(malformed),
        Type::String => text(decoder).map(|text| Data::Text(text.to_owned())),
        Type::Array => {
            let length = decoder.array().map_err(malformed)?.ok_or(WireFault::Malformed)?;
            let inner = deeper(depth)?;
            let mut values = Vec::new();
            for _ in 0..length {
                values.push(read(decoder, inner)?);
            }
            Ok(Data::List(values))
        }
        Type::Map => {
            let length = decoder.map().map_err(malformed)?.ok_or(WireFault::Malformed)?;
            let inner = deeper(depth)?;
            let mut entries: Vec<(String, Data)> = Vec::new();
            let mut seen = Names::default();
            for _ in 0..length {
                let name = text(decoder)?;
                if !seen.first(name, &entries) {
                    return Err(WireFault::DuplicateKey);
                }
                let name = name.to_owned();
                entries.push((name, read(decoder, inner)?));
            }
            Ok(Data::Map(entries))
        }
        _ => Err(WireFault::Malformed),
    }
}

fn deeper(depth: usize) -> Result<usize, WireFault> {
    depth.checked_sub(1).filter(|depth| *depth > 0).ok_or(WireFault::TooDeep)
}

/// Text of definite length. minicbor tells neither kind of fault apart, so UTF-8 is looked at before.
fn text<'b>(decoder: &mut Decoder<'b>) -> Result<&'b str, WireFault> {
    if decoder.datatype().map_err(|_| WireFault::Malformed)? != Type::String {
        return Err(WireFault::Malformed);
    }
    decoder.str().map_err(|error| {
        let utf8 = std::error::Error::source(&error).is_some_and(|source| source.is::<std::str::Utf8Error>());
        if utf8 || error.to_string().contains("utf-8") { WireFault::InvalidUtf8 } else { WireFault::Malformed }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = Data::map([
            ("a", Data::List(vec![Data::Unsigned(u64::MAX), Data::Negative(i64::MIN), Data::Float(0.5), Data::Null])),
            ("b", Data::Bytes(vec![0, 255])),
            ("c", Data::text("ä")),
            ("d", Data::Bool(false)),
        ]);
        let mut bytes = Vec::new();
        encode(&value, &mut bytes);
        assert_eq!(decode(&bytes, 8), Ok(value));
    }

    #[test]
    fn each_fault_has_its_name() {
        let table: [(&[u8], WireFault); 14] = [
            (&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2], WireFault::DuplicateKey),
            (&[0x61, 0xff], WireFault::InvalidUtf8),
            (&[0xa1, 0x61, 0xff, 1], WireFault::InvalidUtf8),
            (&[0xa1, 1, 1], WireFault::Malformed),
            (&[0x9f, 1, 0xff], WireFault::Malformed),
            (&[0x5f, 0x41, 1, 0xff], WireFault::Malformed),
            (&[0xc0, 1], WireFault::Malformed),
            (&[1, 2], WireFault::Malformed),
            (&[0x82, 1], WireFault::Malformed),
            (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], WireFault::Malformed),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], WireFault::Malformed),
            (&[0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], WireFault::Malformed),
            (&[0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 1], WireFault::TooDeep),
            (&[], WireFault::Malformed),
        ];
        for (bytes, fault) in table {
            assert_eq!(decode(bytes, 8), Err(fault), "{bytes:02x?}");
        }
    }
}
