//! The user's terminal in place of that of a persistent command, until one of both ends it.

use super::client::{Client, Speaker};
use super::protocol::{Answer, Bytes, Keys, Request};
use crate::failure::{Failure, io};
use crate::terminal::after_guest;
use crate::terminal::raw::{self, RawTerminal};
use crate::terminal::signals::{Received, Signals};
use cofferdam_bridge::execution::ExecutionSignal;
use nix::sys::signal::{Signal, raise};
use std::io::{Read, Write};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How it came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The user left; the command goes on.
    Detached,
    /// As by a signal that ends: nobody is to be told anything.
    Signalled,
    /// The command ended, or somebody else sits there now.
    Ended,
}

/// What the host says.
type Said = Result<Option<Answer>, Failure>;

/// How long the host may leave what is typed unread. Meanwhile nothing else is heard.
const DEAF: Duration = Duration::from_secs(5);

/// The ends of the threads that wait, so that nothing here does: for the host, for keys, and for the terminal to take what is shown.
struct Ends {
    said: mpsc::Receiver<Said>,
    typed: mpsc::Receiver<Vec<u8>>,
    screen: mpsc::Sender<Vec<u8>>,
}

/// How long a terminal that takes nothing is waited for at the end.
const BLIND: Duration = Duration::from_millis(500);

/// Gives the terminal of `command` to the user until they type `detach`, or it ends.
pub(crate) fn attach(mut client: Client, command: &str, detach: u8) -> Result<Left, Failure> {
    let size = raw::size();
    client.say(&Request::Attach { command: command.to_owned(), rows: size.rows, columns: size.columns })?;
    // What is refused is told before the terminal is touched.
    let screen = match client.next()? {
        Some(Answer::Screen(Bytes(screen))) => screen,
        Some(Answer::Failed { error, .. }) => return Err(error.into()),
        _ => return Ok(Left::Ended),
    };
    let runtime = crate::compose::runtime().map_err(|error| io("the terminal cannot be used", &error))?;
    let left = runtime.block_on(attached(client, &screen, detach));
    // A thread that still waits for keys holds nothing that must be waited for.
    runtime.shutdown_background();
    left
}

async fn attached(client: Client, screen: &[u8], detach: u8) -> Result<Left, Failure> {
    let mut speaker = client.speaker()?;
    let mut signals = Signals::take().map_err(|error| io("signals cannot be heard", &error))?;
    let terminal = RawTerminal::enter().map_err(|errno| io("the terminal cannot be used", &errno.into()))?;
    let (screen_end, shown) = show()?;
    let mut ends = Ends { said: read_answers(client)?, typed: read_keys()?, screen: screen_end };
    let outcome = relay(&mut speaker, &mut ends, screen.to_vec(), &mut signals, &terminal, detach).await;
    speaker.hang_up();
    terminal.restore();
    drop(ends);
    // After the last that the guest has printed. A terminal that still takes nothing takes no reset either.
    if tokio::time::timeout(BLIND, shown).await.is_ok() {
        after_guest::reset();
    }
    outcome
}

async fn relay(
    speaker: &mut Speaker,
    ends: &mut Ends,
    screen: Vec<u8>,
    signals: &mut Signals,
    terminal: &RawTerminal,
    detach: u8,
) -> Result<Left, Failure> {
    let lost = |error: std::io::Error| io("the session's host does not listen any more", &error);
    speaker.give_up_after(DEAF).map_err(lost)?;
    let mut unshown = Some(screen);
    loop {
        tokio::select! {
            // A terminal that takes nothing holds up what is shown on it, and nothing else.
            room = ends.screen.reserve(), if unshown.is_some() => match room {
                Ok(room) => room.send(unshown.take().unwrap_or_default()),
                Err(_) => return Ok(Left::Detached),
            },
            said = ends.said.recv(), if unshown.is_none() => match said.transpose()?.flatten() {
                Some(Answer::Shown(Bytes(bytes))) => unshown = Some(bytes),
                _ => return Ok(Left::Ended),
            },
            typed = ends.typed.recv() => match typed {
                Some(bytes) => {
                    let (keys, leaves) = until(&bytes, detach);
                    if !keys.is_empty() {
                        speaker.say(&Keys::Typed(Bytes(keys.to_vec()))).map_err(lost)?;
                    }
                    if leaves {
                        return Ok(Left::Detached);
                    }
                }
                None => return Ok(Left::Detached),
            },
            signal = signals.next() => match signal {
                Received::Resized => {
                    let size = raw::size();
                    speaker.say(&Keys::Size { rows: size.rows, columns: size.columns }).map_err(lost)?;
                }
                Received::Forward(ExecutionSignal::Stop) => stop(terminal)?,
                // The command is not ours to end: whoever ends us leaves it.
                Received::Forward(_) => return Ok(Left::Signalled),
            },
        }
    }
}

/// What was typed before the key that detaches, and whether that was among it.
fn until(bytes: &[u8], detach: u8) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == detach) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), true),
        None => (bytes, false),
    }
}

/// Shows what comes, from a thread that waits for the terminal; tells when that has shown all and ended.
fn show() -> Result<(mpsc::Sender<Vec<u8>>, oneshot::Receiver<()>), Failure> {
    let (end, ended) = oneshot::channel();
    let (sender, mut shown) = mpsc::channel::<Vec<u8>>(4);
    thread("cofferdam-screen", move || {
        // Goes when this thread does.
        let _end: oneshot::Sender<()> = end;
        while let Some(bytes) = shown.blocking_recv() {
            let mut stdout = std::io::stdout().lock();
            if stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err() {
                return;
            }
        }
    })?;
    Ok((sender, ended))
}

/// Stops this process, with the terminal as it was meanwhile.
fn stop(terminal: &RawTerminal) -> Result<(), Failure> {
    let failed = |errno: nix::errno::Errno| io("the terminal cannot be used", &errno.into());
    terminal.restore();
    raise(Signal::SIGSTOP).map_err(failed)?;
    terminal.again().map_err(failed)
}

/// Hands on what the host says, from a thread that waits for it.
fn read_answers(mut client: Client) -> Result<mpsc::Receiver<Said>, Failure> {
    let (sender, said) = mpsc::channel(16);
    thread("cofferdam-showing", move || {
        loop {
            let answer = client.next();
            let more = matches!(answer, Ok(Some(_)));
            if sender.blocking_send(answer).is_err() || !more {
                return;
            }
        }
    })?;
    Ok(said)
}

/// Hands on what is typed, until nobody types any more.
fn read_keys() -> Result<mpsc::Receiver<Vec<u8>>, Failure> {
    let (sender, typed) = mpsc::channel(16);
    thread("cofferdam-typing", move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            if sender.blocking_send(bytes).is_err() {
                return;
            }
        }
    })?;
    Ok(typed)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(128 * 1024);
    builder.spawn(work).map(drop).map_err(|error| io("the terminal cannot be used", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_detach_key_is_still_typed() {
        assert_eq!(until(b"exit\x1drest", 0x1d), (b"exit".as_slice(), true));
        assert_eq!(until(b"exit", 0x1d), (b"exit".as_slice(), false));
    }
}
