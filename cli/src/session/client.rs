//! Speaks to a session's host.

use super::place::Place;
use super::protocol::{Answer, LONGEST_LINE, Request};
use crate::failure::{Failure, io};
use cofferdam_bridge::error_code::ErrorCode;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// A connection to a host that is who it should be.
pub(crate) struct Client {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the host of the session in `place`.
    pub(crate) fn connect(place: &Place) -> Result<Self, Failure> {
        let name = place.name();
        let stream = UnixStream::connect(place.socket()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                Failure::new(ErrorCode::UnknownSession, format!("no session `{name}` is open"))
                    .hint(format!("cofferdam session open {name} --file SESSION.toml"))
            }
            _ => io(&format!("the session `{name}` cannot be reached"), &error),
        })?;
        let peer = super::peer::user(&stream).map_err(|error| io("the session's host cannot be known", &error))?;
        if peer != nix::unistd::geteuid().as_raw() {
            let sentence =
                format!("the socket of the session `{name}` is served by another user; nothing was said to it");
            return Err(Failure::new(ErrorCode::SessionUnreachable, sentence));
        }
        let answers = stream.try_clone().map_err(|error| io("the session cannot be spoken to", &error))?;
        Ok(Self { stream, answers: BufReader::new(answers) })
    }

    /// Sends one line.
    pub(crate) fn say(&mut self, line: &impl serde::Serialize) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec(line).unwrap_or_default();
        bytes.push(b'\n');
        self.stream.write_all(&bytes).map_err(|error| io("the session's host does not listen any more", &error))
    }

    /// The next answer; none when the host has closed the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Failure> {
        let mut line = Vec::new();
        let most = LONGEST_LINE as u64;
        let read = self.answers.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|error| io("the session's host does not answer", &error))?;
        if line.is_empty() {
            return Ok(None);
        }
        let answer = serde_json::from_slice(&line).map_err(|_| {
            Failure::new(ErrorCode::SessionUnreachable, "the session's host speaks another version")
                .hint("close it with the cofferdam that opened it, and open it anew")
        })?;
        Ok(Some(answer))
    }

    /// Asks and waits for the one answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.say(request)?;
        match self.next()? {
            Some(answer) => Ok(answer),
            None => Err(Failure::new(ErrorCode::SessionClosed, "the session's host ended before it answered")),
        }
    }

    /// A second end to speak by, for another thread.
    pub(crate) fn speaker(&self) -> Result<Speaker, Failure> {
        let stream = self.stream.try_clone().map_err(|error| io("the session cannot be spoken to", &error))?;
        Ok(Speaker(stream))
    }
}

/// One end of a connection, to speak by.
pub(crate) struct Speaker(UnixStream);

impl Speaker {
    /// Sends one line.
    pub(crate) fn say(&mut self, line: &impl serde::Serialize) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.0.write_all(&bytes)
    }

    /// A host that reads nothing for so long is one that does not listen.
    pub(crate) fn give_up_after(&self, most: std::time::Duration) -> std::io::Result<()> {
        self.0.set_write_timeout(Some(most))
    }

    /// Closes the connection for both ends.
    pub(crate) fn hang_up(&self) {
        // One that is closed already needs nothing.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}
