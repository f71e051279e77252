//! Frames on their way to the other side.

use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::frame::{self, Encoding};
use std::io::{self, ErrorKind, IoSlice, Write};

/// Why a message was not sent.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// It is larger than a frame may be. Nothing was written.
    TooLarge,
    /// The other side does not read, or has gone.
    Failed(io::Error),
}

/// The sending end. Whoever holds it sends whole frames.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    to: W,
    buffer: Vec<u8>,
    pub(crate) encoding: Encoding,
    pub(crate) frame_bytes: usize,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(to: W, encoding: Encoding, frame_bytes: usize) -> Self {
        Self { to, buffer: Vec::new(), encoding, frame_bytes }
    }

    /// Sends one message. Large byte strings go from where they are.
    pub(crate) fn send(&mut self, message: &Data) -> Result<(), Unsent> {
        self.buffer.clear();
        let apart = frame::encode_around(message, self.encoding, self.frame_bytes, &mut self.buffer);
        let apart = apart.map_err(|_| Unsent::TooLarge)?;
        if apart.is_empty() {
            return self.to.write_all(&self.buffer).and_then(|()| self.to.flush()).map_err(Unsent::Failed);
        }
        let mut slices = Vec::with_capacity(2 * apart.len() + 1);
        let mut rest = self.buffer.as_slice();
        let mut past = 0;
        for (at, bytes) in apart {
            let (before, after) = rest.split_at_checked(at - past).unwrap_or((rest, &[]));
            slices.extend([IoSlice::new(before), IoSlice::new(bytes)]);
            (rest, past) = (after, at);
        }
        slices.push(IoSlice::new(rest));
        write_all(&mut self.to, &mut slices).and_then(|()| self.to.flush()).map_err(Unsent::Failed)
    }
}

/// `Write::write_all_vectored`, which the standard library keeps unstable.
fn write_all(to: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match to.write_vectored(slices) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_contract::wire::frame::FrameDecoder;

    /// Takes few bytes at once, and now and then none.
    struct Reluctant(Vec<u8>, usize);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(ErrorKind::Interrupted.into());
            }
            let taken = bytes.len().min(1000);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_arrives_whole_however_little_is_taken_at_once() {
        let bytes = |fill: u8, size: usize| Data::Bytes(vec![fill; size]);
        let message = Data::List(vec![bytes(1, 40_000), Data::text("between"), bytes(2, 50_000), bytes(3, 10)]);
        for encoding in [Encoding::Cbor, Encoding::Json] {
            let mut writer = Writer::new(Reluctant(Vec::new(), 0), encoding, 1 << 20);
            writer.send(&message).unwrap();
            let mut decoder = FrameDecoder::new(1 << 20, 8);
            decoder.switch(encoding, 1 << 20);
            decoder.feed(&writer.to.0);
            let Ok(Some(Data::List(read))) = decoder.next_value() else { panic!("no frame") };
            let read: Vec<Option<Vec<u8>>> = read.into_iter().map(Data::into_bytes).collect();
            assert!(read[0] == Some(vec![1; 40_000]) && read[2] == Some(vec![2; 50_000]), "{encoding:?}");
        }
    }

    #[test]
    fn nothing_is_written_of_what_is_too_large() {
        let mut writer = Writer::new(Reluctant(Vec::new(), 0), Encoding::Cbor, 1000);
        assert!(matches!(writer.send(&Data::Bytes(vec![0; 40_000])), Err(Unsent::TooLarge)));
        assert!(writer.to.0.is_empty());
    }
}
