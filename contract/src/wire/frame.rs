//! Where a frame begins and ends: a line of JSON, or a length and so many bytes of CBOR.

use super::data::Data;
use super::fault::WireFault;
use super::{cbor, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Turns bytes as they come into values.
#[derive(Debug)]
pub struct FrameDecoder {
    encoding: Encoding,
    most_bytes: usize,
    depth: usize,
    /// Of which `start..end` hold what came and was not read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How far a newline was looked for.
    searched: usize,
}

impl FrameDecoder {
    /// A decoder of JSON, with bounds on one frame: its bytes and how deep it is nested.
    pub fn new(most_bytes: usize, depth: usize) -> Self {
        Self { encoding: Encoding::Json, most_bytes, depth, buffer: Vec::new(), start: 0, end: 0, searched: 0 }
    }

    /// From the next frame on, another encoding and another bound.
    pub fn switch(&mut self, encoding: Encoding, most_bytes: usize) {
        (self.encoding, self.most_bytes, self.searched) = (encoding, most_bytes, self.start);
    }

    /// Where a reader may put bytes; [`filled`](Self::filled) says how many it did. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
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
        let wanted = self.wanted();
        if self.buffer.len() - self.end < wanted {
            self.buffer.resize(self.end + wanted, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// How many bytes may come next: of a frame whose length is known, its rest, within the bound.
    fn wanted(&self) -> usize {
        match (self.encoding, self.length()) {
            (Encoding::Cbor, Some(length)) if length <= self.most_bytes => {
                (LENGTH + length).saturating_sub(self.end - self.start).max(ROOM)
            }
            _ => ROOM,
        }
    }

    /// So many bytes were put into [`room`](Self::room).
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.buffer.len().min(self.end.saturating_add(bytes));
    }

    /// Takes over bytes that lie elsewhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let length = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(length);
            room.get_mut(..length).unwrap_or_default().copy_from_slice(now);
            self.filled(length);
            bytes = later;
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
        let (from, to, next) = match self.encoding {
            Encoding::Json => {
                let searched = self.buffer.get(self.searched..self.end).unwrap_or_default();
                let Some(at) = searched.iter().position(|byte| *byte == b'\n') else {
                    self.searched = self.end;
                    return self.within(self.end - self.start).map(|()| None);
                };
                let newline = self.searched + at;
                (self.start, newline, newline + 1)
            }
            Encoding::Cbor => {
                let Some(length) = self.length() else { return Ok(None) };
                self.within(length)?;
                let from = self.start + LENGTH;
                if self.end < from + length {
                    return Ok(None);
                }
                (from, from + length, from + length)
            }
        };
        self.within(to - from)?;
        let frame = self.buffer.get(from..to).unwrap_or_default();
        let value = match self.encoding {
            Encoding::Json => json::decode(frame, self.depth),
            Encoding::Cbor => cbor::decode(frame, self.depth),
        };
        (self.start, self.searched) = (next, next);
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
            cbor::encode(value, into);
            let length = into.len() - start - LENGTH;
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
        assert!(decoder.room().len() <= 2 * ROOM);
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
}
