//! CBOR (RFC 8949), strictly: definite lengths, text for names, no name twice, no tags, bounded depth, nothing after the value.

use super::data::Data;
use super::fault::WireFault;
use super::frame::LARGE;
use super::json::Names;
use super::name::Name;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// Reads one value nested at most `depth` deep; a plain value has depth 1.
///
/// # Errors
/// `invalid_utf8`, `duplicate_key`, `too_deep`, else `malformed`.
pub fn decode(bytes: &[u8], depth: usize) -> Result<Data, WireFault> {
    decode_with(bytes, None, depth)
}

/// The content of a byte string that was read to a place of its own, and where between the other bytes it belongs.
#[derive(Debug)]
pub(super) struct Apart {
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
}

/// As [`decode`], of bytes from which the content of one byte string was left out.
pub(super) fn decode_with(bytes: &[u8], apart: Option<Apart>, depth: usize) -> Result<Data, WireFault> {
    let mut reader = Reader { decoder: Decoder::new(bytes), apart };
    let value = reader.read(depth)?;
    let whole = reader.decoder.position() == bytes.len() && reader.apart.is_none();
    if whole { Ok(value) } else { Err(WireFault::Malformed) }
}

/// Where the content of the first byte string of at least `least` bytes begins, and its length, as far as `begin`, the first bytes of an
/// item, tells. It may stand where no value may, or be longer than the item.
pub(super) fn large_bytes(begin: &[u8], least: usize) -> Option<(usize, usize)> {
    let mut at = 0_usize;
    loop {
        let (major, argument, head) = head(begin.get(at..)?)?;
        at = at.checked_add(head)?;
        match major {
            BYTES if argument >= least => return Some((at, argument)),
            BYTES | TEXT => at = at.checked_add(argument)?,
            // What an array, map or tag holds follows it.
            _ => {}
        }
    }
}

/// Major types (RFC 8949, section 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;

/// The major type, argument and length of the head at the beginning of `bytes`; none for one that is cut off or indefinite.
fn head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, rest) = bytes.split_first()?;
    let (major, short) = (first >> 5, first & 0x1f);
    if short < 24 {
        return Some((major, usize::from(short), 1));
    }
    let length = 1_usize.checked_shl(u32::from(short) - 24).filter(|length| *length <= 8)?;
    let argument = rest.get(..length)?.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    Some((major, usize::try_from(argument).ok()?, 1 + length))
}

/// Writes one value.
pub fn encode(value: &Data, into: &mut Vec<u8>) {
    encode_around(value, into, None);
}

/// As [`encode`], but where `apart` is given, large byte strings go there with the place in `into` where they belong. Answers how many bytes
/// that are.
pub(super) fn encode_around<'d>(
    value: &'d Data,
    into: &mut Vec<u8>,
    apart: Option<&mut Vec<(usize, &'d [u8])>>,
) -> usize {
    let mut writer = Writer { encoder: Encoder::new(into), apart, elsewhere: 0 };
    // Writing into memory does not fail.
    let _ = writer.write(value);
    writer.elsewhere
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

struct Writer<'w, 'd> {
    encoder: Encoder<&'w mut Vec<u8>>,
    apart: Option<&'w mut Vec<(usize, &'d [u8])>>,
    elsewhere: usize,
}

impl<'d> Writer<'_, 'd> {
    fn write(&mut self, value: &'d Data) -> Written {
        let encoder = &mut self.encoder;
        match value {
            Data::Null => encoder.null()?,
            Data::Bool(value) => encoder.bool(*value)?,
            Data::Unsigned(number) => encoder.u64(*number)?,
            Data::Negative(number) => encoder.i64(*number)?,
            Data::Float(number) => encoder.f64(*number)?,
            Data::Text(text) => encoder.str(text)?,
            Data::Bytes(bytes) => return self.bytes(bytes),
            Data::Shared(bytes) => return self.bytes(bytes),
            Data::List(values) => {
                encoder.array(values.len() as u64)?;
                return values.iter().try_for_each(|value| self.write(value));
            }
            Data::Map(entries) => {
                encoder.map(entries.len() as u64)?;
                return entries.iter().try_for_each(|(name, value)| {
                    self.encoder.str(name)?;
                    self.write(value)
                });
            }
        };
        Ok(())
    }

    fn bytes(&mut self, bytes: &'d [u8]) -> Written {
        let Some(apart) = self.apart.as_mut().filter(|_| bytes.len() >= LARGE) else {
            self.encoder.bytes(bytes)?;
            return Ok(());
        };
        self.encoder.bytes_len(bytes.len() as u64)?;
        apart.push((self.encoder.writer().len(), bytes));
        self.elsewhere += bytes.len();
        Ok(())
    }
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    apart: Option<Apart>,
}

impl Reader<'_> {
    fn read(&mut self, depth: usize) -> Result<Data, WireFault> {
        let malformed = |_| WireFault::Malformed;
        let decoder = &mut self.decoder;
        match decoder.datatype().map_err(malformed)? {
            Type::Null => decoder.null().map(|()| Data::Null).map_err(malformed),
            Type::Bool => decoder.bool().map(Data::Bool).map_err(malformed),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64().map(Data::Unsigned).map_err(malformed),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64().map(Data::Negative).map_err(malformed),
            Type::F16 | Type::F32 | Type::F64 => {
                let number = decoder.f64().map_err(malformed)?;
                if number.is_finite() { Ok(Data::Float(number)) } else { Err(WireFault::Malformed) }
            }
            Type::Bytes => self.bytes(),
            Type::String => text(decoder).map(|text| Data::Text(text.to_owned())),
            Type::Array => {
                let length = decoder.array().map_err(malformed)?.ok_or(WireFault::Malformed)?;
                let inner = deeper(depth)?;
                let mut values = Vec::new();
                for _ in 0..length {
                    values.push(self.read(inner)?);
                }
                Ok(Data::List(values))
            }
            Type::Map => self.map(depth),
            _ => Err(WireFault::Malformed),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Data, WireFault> {
        let length = self.decoder.map().map_err(|_| WireFault::Malformed)?.ok_or(WireFault::Malformed)?;
        let inner = deeper(depth)?;
        let mut entries: Vec<(Name, Data)> = Vec::new();
        let mut seen = Names::default();
        for _ in 0..length {
            let name = text(&mut self.decoder)?;
            if !seen.first(name, &entries) {
                return Err(WireFault::DuplicateKey);
            }
            let name = Name::from(name);
            entries.push((name, self.read(inner)?));
        }
        Ok(Data::Map(entries))
    }

    fn bytes(&mut self) -> Result<Data, WireFault> {
        let at = self.decoder.position();
        let own = |apart: &mut Apart| {
            let head = self.decoder.input().get(at..).and_then(head);
            head.is_some_and(|(_, length, head)| at + head == apart.at && length == apart.bytes.len())
        };
        if let Some(apart) = self.apart.take_if(own) {
            self.decoder.set_position(apart.at);
            return Ok(Data::Bytes(apart.bytes));
        }
        self.decoder.bytes().map(|bytes| Data::Bytes(bytes.to_vec())).map_err(|_| WireFault::Malformed)
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
        let mut bytes = Vec::new();
        encode(&Data::Shared([0, 255].into()), &mut bytes);
        assert_eq!(decode(&bytes, 8), Ok(Data::Bytes(vec![0, 255])));
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
