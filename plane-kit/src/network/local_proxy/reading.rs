//! Taking what comes first of a stream, and not a byte of what comes after it.

use std::io;
use tokio::net::TcpStream;

/// As much as is looked at at once.
const AT_ONCE: usize = 4096;

/// Reads until `whole` says how many bytes of what it is shown are wanted, and takes just these. It is shown all that has come, and
/// answers none while more is needed. What comes after them stays in the stream, for whoever carries it. Answers none with what came
/// where the stream ended before.
pub(super) async fn take<T>(
    stream: &TcpStream,
    mut whole: impl FnMut(&[u8]) -> Option<(T, usize)>,
) -> io::Result<(Option<T>, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; AT_ONCE]);
    loop {
        let seen = stream.peek(&mut buffer).await?;
        if seen == 0 {
            return Ok((None, bytes));
        }
        let known = bytes.len();
        bytes.extend_from_slice(buffer.get(..seen).unwrap_or_default());
        let found = whole(&bytes);
        let wanted = found.as_ref().map_or(seen, |(_, length)| length.saturating_sub(known).min(seen));
        discard(stream, buffer.get_mut(..wanted).unwrap_or_default()).await?;
        if let Some((found, length)) = found {
            bytes.truncate(length);
            return Ok((Some(found), bytes));
        }
    }
}

/// Takes as many bytes as fit, which are there already.
async fn discard(stream: &TcpStream, mut room: &mut [u8]) -> io::Result<()> {
    while !room.is_empty() {
        match read(stream, room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => room = room.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Reads what there is; 0 at the end.
pub(super) async fn read(stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.try_read(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            done => return done,
        }
    }
}
