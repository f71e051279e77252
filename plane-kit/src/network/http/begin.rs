//! How a connection begins whose requests are read, in the clear or inside TLS, and how it ends where its first request is refused.

use super::requests::{Refusal, Requests};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;
/// How long the first request may take.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long, and how much, is still taken of what was refused, so that its answer arrives.
const LAST_WORDS: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// Reads until something of `requests` may be handed on, which it answers, or is refused.
///
/// # Errors
/// `UnexpectedEof` for one that ended before there was a request; `TimedOut`; what reading met.
pub(in super::super) async fn first(
    from: &mut (impl AsyncRead + Unpin),
    requests: &mut Requests,
) -> io::Result<Result<Vec<u8>, Refusal>> {
    let reading = async {
        let (mut buffer, mut passed) = (vec![0; BUFFER], Vec::new());
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match requests.take(buffer.get(..count).unwrap_or_default(), &mut passed) {
                Err(refusal) if passed.is_empty() => return Ok(Err(refusal)),
                // A second request is refused: that is told again when the rest is read, and nothing of it was handed on.
                _ if !passed.is_empty() => return Ok(Ok(passed)),
                _ => {}
            }
        }
    };
    timeout(LONGEST_WAIT, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Answers the program in the place of the host, and ends the connection.
pub(in super::super) async fn end(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let (longest, most) = LAST_WORDS;
    let ending = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        // Closed with something unread it would be reset, which can overtake the answer.
        let (mut buffer, mut seen) = (vec![0; BUFFER], 0);
        while let count @ 1.. = stream.read(&mut buffer).await? {
            seen += count;
            if seen > most {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(longest, ending).await;
}
