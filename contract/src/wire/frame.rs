//! Where a frame begins and ends: a line of JSON, or a length and so many bytes of CBOR.

use super::cbor::{self, Apart};
use super::data::Data;
use super::fault::WireFault;
use super::json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// How values become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Encoding {
    /// JSON, each frame one line that ends with a newline (0x0a).
    Json,
    /// CBOR, each frame after its length in bytes as 32 bits, most significant byte first.
    Cbor,
}

/// Bytes that tell the length of a CBOR frame.
const LENGTH: usize = 4;

/// Room that is made when a reader asks for some.
const ROOM: usize = 64 * 1024;

/// A buffer that has grown beyond this is let go when it is empty.
const KEPT: usize = 4 << 20;

/// Byte strings of at least this many bytes are neither copied into a frame that is sent nor out of one that is read.
pub const LARGE: usize = 16 * 1024;

/// How far into a frame a large byte string is looked for while the frame comes.
const LOOKED: usize = 4096;

/// Turns bytes as they come into values.
#[derive(Debug)]
pub struct FrameDecoder {
    encoding: Encoding,
    most_bytes: usize,
    depth: usize,
    large: usize,
    /// Of which `start..end` hold what came and was not read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How far a newline was looked for.
    searched: usize,
    /// A byte string of the frame at `start` that is read straight to where it stays. What follows it in the frame follows in the buffer.
    apart: Option<Growing>,
}

/// A byte string on its way.
#[derive(Debug)]
struct Growing {
    /// Where it belongs, from the frame's first byte.
    at: usize,
    length: usize,
    bytes: Vec<u8>,
}

impl FrameDecoder {
    /// A decoder of JSON, with bounds on one frame: its bytes and how deep it is nested.
    pub fn new(most_bytes: usize, depth: usize) -> Self {
        Self {
            encoding: Encoding::Json,
            most_bytes,
            depth,
            large: LARGE,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            apart: None,
        }
    }

    /// From the next frame on, another encoding and another bound.
    pub fn switch(&mut self, encoding: Encoding, most_bytes: usize) {
        (self.encoding, self.most_bytes, self.searched) = (encoding, most_bytes, self.start);
    }

    /// Holds byte strings from so many bytes on for large, instead of [`LARGE`].
    #[must_use]
    pub fn large_from(mut self, bytes: usize) -> Self {
        self.large = bytes.max(1);
        self
    }

    /// Reads once, or until a large byte string is there, and answers how many bytes came; 0 is the end. What came before an error is kept.
    ///
    /// # Errors
    /// What `reader` met.
    pub fn read_from(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        self.look_for_large();
        if let Some(apart) = self.apart.as_mut().filter(|apart| apart.bytes.len() < apart.length) {
            let missing = (apart.length - apart.bytes.len()) as u64;
            // Into memory that was not made zero before, which would cost as much as a third of the reading.
            return reader.by_ref().take(missing).read_to_end(&mut apart.bytes);
        }
        let read = reader.read(self.room())?;
        self.end = self.buffer.len().min(self.end.saturating_add(read));
        Ok(read)
    }

    /// Takes over bytes that lie elsewhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        // Reading from memory does not fail.
        while !bytes.is_empty() && self.read_from(&mut bytes).is_ok() {}
    }

    /// How many bytes it holds memory for.
    pub fn held(&self) -> usize {
        self.buffer.capacity() + self.apart.as_ref().map_or(0, |apart| apart.bytes.capacity())
    }

    /// Where bytes may be put. Never empty.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end, self.searched) = (0, 0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.end < ROOM / 2 && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.end, self.searched) = (self.end - self.start, self.searched.saturating_sub(self.start));
            self.start = 0;
        }
        if self.buffer.len() - self.end < ROOM / 2 {
            // Twice as much each time, so that a long frame is not copied over and over.
            self.buffer.resize(self.end + ROOM.max(self.end), 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Lets a large byte string of a frame that has not come whole go to a place of its own.
    fn look_for_large(&mut self) {
        if self.encoding != Encoding::Cbor || self.apart.is_some() {
            return;
        }
        let Some(length) = self.length().filter(|length| (self.large..=self.most_bytes).contains(length)) else {
            return;
        };
        let from = self.start + LENGTH;
        let come = self.buffer.get(from..self.end).unwrap_or_default();
        let begin = come.get(..come.len().min(LOOKED)).unwrap_or_default();
        let Some((at, bytes)) = cbor::large_bytes(begin, self.large) else { return };
        let ends_in_frame = at.checked_add(bytes).is_some_and(|end| end <= length);
        if let Some(part) = come.get(at..).filter(|part| ends_in_frame && part.len() < bytes) {
            let mut own = Vec::with_capacity(bytes);
            own.extend_from_slice(part);
            self.apart = Some(Growing { at, length: bytes, bytes: own });
            self.end = from + at;
        }
    }

    fn length(&self) -> Option<usize> {
        let bytes = self.buffer.get(self.start..self.end)?.get(..LENGTH)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    }

    /// The next frame's value; `None` until the rest of it has come.
    ///
    /// # Errors
    /// `frame_too_large`, after which nothing more can be read; or what is wrong with this frame, which is then past.
    pub fn next_value(&mut self) -> Result<Option<Data>, WireFault> {
        match self.encoding {
            Encoding::Json => self.next_line(),
            Encoding::Cbor => self.next_item(),
        }
    }

    fn next_line(&mut self) -> Result<Option<Data>, WireFault> {
        let searched = self.buffer.get(self.searched..self.end).unwrap_or_default();
        let Some(at) = searched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.end;
            return self.within(self.end - self.start).map(|()| None);
        };
        let newline = self.searched + at;
        self.within(newline - self.start)?;
        let value = json::decode(self.buffer.get(self.start..newline).unwrap_or_default(), self.depth);
        (self.start, self.searched) = (newline + 1, newline + 1);
        value.map(Some)
    }

    fn next_item(&mut self) -> Result<Option<Data>, WireFault> {
        let Some(length) = self.length() else { return Ok(None) };
        self.within(length)?;
        let missing = self.apart.as_ref().is_some_and(|apart| apart.bytes.len() < apart.length);
        let elsewhere = self.apart.as_ref().map_or(0, |apart| apart.length);
        let from = self.start + LENGTH;
        let to = from + length.saturating_sub(elsewhere);
        if missing || self.end < to {
            return Ok(None);
        }
        let apart = self.apart.take().map(|apart| Apart { at: apart.at, bytes: apart.bytes });
        let value = cbor::decode_with(self.buffer.get(from..to).unwrap_or_default(), apart, self.depth);
        (self.start, self.searched) = (to, to);
        value.map(Some)
    }

    fn within(&self, bytes: usize) -> Result<(), WireFault> {
        if bytes > self.most_bytes { Err(WireFault::FrameTooLarge) } else { Ok(()) }
    }
}

/// Writes `value` as one frame at the end of `into`.
///
/// # Errors
/// `frame_too_large`; nothing is written then.
pub fn encode(value: &Data, encoding: Encoding, most_bytes: usize, into: &mut Vec<u8>) -> Result<(), WireFault> {
    write(value, encoding, most_bytes, into, None)
}

/// As [`encode`], but large byte strings are not copied: each is handed out with the place in `into` where it belongs, in order.
///
/// # Errors
/// As [`encode`].
pub fn encode_around<'d>(
    value: &'d Data,
    encoding: Encoding,
    most_bytes: usize,
    into: &mut Vec<u8>,
) -> Result<Vec<(usize, &'d [u8])>, WireFault> {
    let mut apart = Vec::new();
    write(value, encoding, most_bytes, into, Some(&mut apart))?;
    Ok(apart)
}

fn write<'d>(
    value: &'d Data,
    encoding: Encoding,
    most_bytes: usize,
    into: &mut Vec<u8>,
    apart: Option<&mut Vec<(usize, &'d [u8])>>,
) -> Result<(), WireFault> {
    let start = into.len();
    let length = match encoding {
        Encoding::Json => {
            json::encode(value, into);
            let length = into.len() - start;
            into.push(b'\n');
            length
        }
        Encoding::Cbor => {
            into.extend_from_slice(&[0; LENGTH]);
            let elsewhere = cbor::encode_around(value, into, apart);
            let length = into.len() - start - LENGTH + elsewhere;
            if let (Ok(told), Some(place)) = (u32::try_from(length), into.get_mut(start..start + LENGTH)) {
                place.copy_from_slice(&told.to_be_bytes());
            }
            length
        }
    };
    if length > most_bytes {
        into.truncate(start);
        return Err(WireFault::FrameTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Data {
        Data::map([("bytes", Data::Bytes(vec![10; 300])), ("n", Data::Unsigned(7))])
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_come() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let mut bytes = Vec::new();
            for _ in 0..3 {
                encode(&sample(), encoding, 4096, &mut bytes).unwrap();
            }
            for step in [1, 2, 3, 7, 100, 10_000] {
                let mut decoder = FrameDecoder::new(4096, 8);
                decoder.switch(encoding, 4096);
                let mut seen = 0;
                for chunk in bytes.chunks(step) {
                    decoder.feed(chunk);
                    while let Some(mut value) = decoder.next_value().unwrap() {
                        assert_eq!(value.take("bytes").unwrap().into_bytes().unwrap(), [10; 300]);
                        seen += 1;
                    }
                }
                assert_eq!(seen, 3, "{encoding:?} by {step}");
            }
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_before_it_is_there() {
        let mut decoder = FrameDecoder::new(10, 8);
        decoder.feed(b"[1,2,3,4,5,");
        assert_eq!(decoder.next_value(), Err(WireFault::FrameTooLarge));
        let mut decoder = FrameDecoder::new(10, 8);
        decoder.switch(Encoding::Cbor, 10);
        decoder.feed(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next_value(), Err(WireFault::FrameTooLarge));
        assert!(decoder.held() <= 2 * ROOM);
        assert_eq!(encode(&sample(), Encoding::Cbor, 10, &mut Vec::new()), Err(WireFault::FrameTooLarge));
    }

    #[test]
    fn a_bad_frame_is_past_and_the_next_is_read() {
        let mut decoder = FrameDecoder::new(100, 8);
        decoder.feed(b"{\"a\":1,\"a\":2}\n\n5\n");
        assert_eq!(decoder.next_value(), Err(WireFault::DuplicateKey));
        assert_eq!(decoder.next_value(), Err(WireFault::Malformed));
        assert_eq!(decoder.next_value(), Ok(Some(Data::Unsigned(5))));
        assert_eq!(decoder.next_value(), Ok(None));
    }

    #[test]
    fn the_encoding_changes_between_two_frames_of_one_read() {
        let mut bytes = b"1\n".to_vec();
        encode(&Data::Unsigned(2), Encoding::Cbor, 10, &mut bytes).unwrap();
        let mut decoder = FrameDecoder::new(100, 8);
        decoder.feed(&bytes);
        assert_eq!(decoder.next_value(), Ok(Some(Data::Unsigned(1))));
        decoder.switch(Encoding::Cbor, 10);
        assert_eq!(decoder.next_value(), Ok(Some(Data::Unsigned(2))));
    }

    #[test]
    fn a_large_byte_string_comes_whole_however_the_bytes_come() {
        let large: Vec<u8> = (0..LARGE * 5).map(|at| (at % 251) as u8).collect();
        let value =
            Data::map([("a", Data::Unsigned(1)), ("b", Data::Bytes(large.clone())), ("c", Data::text("after"))]);
        let mut bytes = Vec::new();
        encode(&value, Encoding::Cbor, 1 << 20, &mut bytes).unwrap();
        encode(&sample(), Encoding::Cbor, 1 << 20, &mut bytes).unwrap();
        encode(&value, Encoding::Cbor, 1 << 20, &mut bytes).unwrap();
        for step in [1, 3, 4, 5, 1000, LARGE, 3 * LARGE + 1, bytes.len()] {
            let mut decoder = FrameDecoder::new(1 << 20, 8);
            decoder.switch(Encoding::Cbor, 1 << 20);
            let mut seen = Vec::new();
            for chunk in bytes.chunks(step) {
                decoder.feed(chunk);
                while let Some(value) = decoder.next_value().unwrap() {
                    seen.push(value);
                }
            }
            assert!(seen == [value.clone(), sample(), value.clone()], "by {step}");
        }
    }

    #[test]
    fn what_is_written_around_large_byte_strings_is_the_same_frame() {
        let large = Data::Bytes(vec![9; LARGE]);
        let value = Data::List(vec![large.clone(), Data::text("x"), large, Data::Bytes(vec![1])]);
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let (mut whole, mut around) = (b"before".to_vec(), b"before".to_vec());
            encode(&value, encoding, 1 << 20, &mut whole).unwrap();
            let apart = encode_around(&value, encoding, 1 << 20, &mut around).unwrap();
            assert_eq!(apart.len(), if encoding == Encoding::Cbor { 2 } else { 0 });
            for (at, bytes) in apart.into_iter().rev() {
                around.splice(at..at, bytes.iter().copied());
            }
            assert!(whole == around, "{encoding:?}");
            let refused = encode_around(&value, encoding, LARGE, &mut Vec::new());
            assert_eq!(refused, Err(WireFault::FrameTooLarge));
        }
    }

    #[test]
    fn a_byte_string_that_says_to_be_longer_than_its_frame_is_malformed_and_past() {
        let mut decoder = FrameDecoder::new(1 << 20, 8).large_from(8);
        decoder.switch(Encoding::Cbor, 1 << 20);
        decoder.feed(&[0, 0, 0, 20, 0x58, 100]);
        decoder.feed(&[1; 18]);
        decoder.feed(&[0, 0, 0, 1, 7]);
        assert_eq!(decoder.next_value(), Err(WireFault::Malformed));
        assert_eq!(decoder.next_value(), Ok(Some(Data::Unsigned(7))));
        // Where no value may stand, it is not overlooked: {h'..': 1} has no text for a name.
        decoder.feed(&[0, 0, 0, 12, 0xa1, 0x49]);
        decoder.feed(&[1; 10]);
        assert_eq!(decoder.next_value(), Err(WireFault::Malformed));
        assert_eq!(decoder.next_value(), Ok(None));
    }

    #[test]
    fn a_long_line_costs_memory_in_its_own_measure() {
        let mut decoder = FrameDecoder::new(4 << 20, 8);
        let text = Data::Text("x".repeat(3 << 20));
        let mut bytes = Vec::new();
        encode(&text, Encoding::Json, 4 << 20, &mut bytes).unwrap();
        for chunk in bytes.chunks(10_000) {
            decoder.feed(chunk);
        }
        assert!(decoder.held() <= 9 << 20, "{}", decoder.held());
        assert!(decoder.next_value() == Ok(Some(text)));
    }
}
