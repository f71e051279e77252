//! Requests on their way out: one after another to where they were asked for, as far as rules let them.

use super::super::traffic::Meter;
use super::requests::{Refusal, Requests};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Hands `requests` on until `from` has ended its side, the last has gone, or one is refused: that. Of what was taken before something may be
/// handed on already.
///
/// # Errors
/// What either side met.
pub(in super::super) async fn hand_on(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    requests: &mut Requests,
    (meter, moved): (&Meter, &AtomicBool),
    mut buffer: Vec<u8>,
) -> io::Result<Option<Refusal>> {
    let (mut passed, mut count) = (Vec::new(), 0);
    loop {
        // With nothing at first: what came with the first request is told of again.
        let taken = requests.take(buffer.get(..count).unwrap_or_default(), &mut passed);
        give(to, &passed).await?;
        meter.sent(passed.len());
        moved.store(true, Ordering::Relaxed);
        passed.clear();
        if let Err(refusal) = taken {
            return Ok(Some(refusal));
        }
        if requests.are_over() {
            return Ok(None);
        }
        count = match from.read(&mut buffer).await {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            // Many programs end without saying so in TLS; between two requests nothing is lost by it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && requests.is_whole() => return Ok(None),
            Err(error) => return Err(error),
        };
    }
}

/// Writes all of `bytes`, and lets them go.
pub(in super::super) async fn give(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
