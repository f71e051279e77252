//! The name server of a run over a stream (RFC 7766); datagrams come in by whoever knows the socket.

use super::gate::Gate;
use super::name_message::Question;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest question that is read: a name, its type and class, and options that are passed over.
pub const LONGEST_QUESTION: usize = 4096;

/// Answers the questions of one stream until it ends. `program`: who asks.
pub async fn serve(gate: &Gate, mut stream: TcpStream, program: impl Fn() -> Option<String>) {
    while let Ok(Some(question)) = timeout(SILENCE, read(&mut stream)).await {
        let answer = match Question::read(&question) {
            Ok(question) => gate.answer(&question, &program).await,
            Err(answer) => answer,
        };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        if length == 0 || stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > LONGEST_QUESTION {
        return None;
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await.ok()?;
    Some(question)
}
