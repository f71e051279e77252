//! Serves one connection: reads its request, answers it.

use super::protocol::{Answer, Bytes, CommandReport, Failed, Keys, LONGEST_LINE, Request, VERSION};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::TerminalSize;
use cofferdam_kernel::KernelError;
use cofferdam_kernel::session::{FollowEvent, OutputStream, RunError, RunOptions, Session};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What ends with a request.
pub(super) enum Ends {
    /// The connection.
    Connection,
    /// The whole session; who asked for it, to be told when it is over.
    Session(Peer),
}

/// How long a line may take to come: a connection without a request keeps a session from being idle.
const REQUEST: Duration = Duration::from_secs(10);

/// Pieces of what is typed that may wait for the program to read: some megabytes of a paste.
const MOST_TYPED: usize = 1024;

/// How long somebody may take to take an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The other end of a connection.
pub(super) struct Peer {
    lines: BufReader<OwnedReadHalf>,
    answers: OwnedWriteHalf,
}

/// Serves a connection to its end.
pub(super) async fn one(session: &Session, name: &str, stream: UnixStream) -> Ends {
    let (read, answers) = stream.into_split();
    let mut peer = Peer { lines: BufReader::new(read), answers };
    let line = tokio::time::timeout(REQUEST, line(&mut peer.lines)).await;
    let Ok(Ok(Some(line))) = line else { return Ends::Connection };
    let request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let message =
                format!("this is no request of version {VERSION} (at column {}); see docs/sessions.md", error.column());
            peer.answer(&failed(BridgeError::new(ErrorCode::RequestInvalid, message))).await;
            return Ends::Connection;
        }
    };
    match request {
        Request::Follow { command } => peer.follow(session, &command).await,
        Request::Attach { command, rows, columns } => {
            peer.attach(session, &command, TerminalSize::new(rows, columns)).await;
        }
        Request::Close {} => {
            session.close().await;
            return Ends::Session(peer);
        }
        request => {
            // Whoever goes away does not want the answer any more; a one-shot of theirs ends.
            let answer = tokio::select! {
                answer = answer(session, name, request) => answer,
                () = gone(&mut peer.lines) => return Ends::Connection,
            };
            peer.answer(&answer).await;
        }
    }
    Ends::Connection
}

async fn answer(session: &Session, name: &str, request: Request) -> Answer {
    let answered = match request {
        Request::Hello {} => Ok(Answer::Hello { version: VERSION, session: name.to_owned(), pid: std::process::id() }),
        Request::List {} => Ok(Answer::Commands(reports(session))),
        Request::Run { command, stdin, timeout_ms } => return run(session, &command, stdin, timeout_ms).await,
        Request::Start { command } => session.start(&command).await.map(|pid| Answer::Started { pid }),
        Request::Status { command } => session.status(&command).map(|status| told(CommandReport::of(status))),
        Request::Stop { command } => session.stop(&command).await.map(|status| told(CommandReport::of(status))),
        Request::WaitReady { command } => session.wait_ready(&command).await.map(|()| Answer::Done {}),
        Request::Write { command, bytes, close } => write(session, &command, bytes.0, close).await,
        Request::Follow { .. } | Request::Attach { .. } | Request::Close {} => Ok(Answer::Done {}),
    };
    answered.unwrap_or_else(|error| failed(error.error().clone()))
}

fn told(report: CommandReport) -> Answer {
    Answer::Status(Box::new(report))
}

fn failed(error: BridgeError) -> Answer {
    Answer::Failed { error, failure: None }
}

fn reports(session: &Session) -> Vec<CommandReport> {
    let mut statuses: std::collections::BTreeMap<_, _> =
        session.statuses().into_iter().map(|status| (status.name.clone(), status)).collect();
    let report = |command: &cofferdam_kernel::session::CommandSpec| match statuses.remove(command.name()) {
        Some(status) => CommandReport::of(status).quiet(),
        None => CommandReport::of_one_shot(command.name()),
    };
    session.spec().commands().map(report).collect()
}

async fn run(session: &Session, command: &str, stdin: Option<Bytes>, timeout_ms: Option<u64>) -> Answer {
    let mut options = RunOptions::default();
    if let Some(bytes) = stdin {
        options = options.stdin(bytes.0);
    }
    if let Some(time) = timeout_ms {
        options = options.timeout(Duration::from_millis(time));
    }
    match session.run(command, options).await {
        Ok(output) => Answer::Value(output.value),
        Err(error) => {
            Answer::Failed { error: error.error().clone(), failure: RunError::failure(&error).map(Failed::of) }
        }
    }
}

async fn write(session: &Session, command: &str, bytes: Vec<u8>, close: bool) -> Result<Answer, KernelError> {
    if !bytes.is_empty() {
        session.write(command, bytes).await?;
    }
    if close {
        session.close_stdin(command).await?;
    }
    Ok(Answer::Done {})
}

impl Peer {
    /// What was asked for last is done.
    pub(super) async fn done(mut self) {
        self.answer(&Answer::Done {}).await;
    }

    /// Sends an answer; answers whether somebody took it.
    async fn answer(&mut self, answer: &Answer) -> bool {
        let Ok(mut line) = serde_json::to_vec(answer) else { return false };
        line.push(b'\n');
        matches!(tokio::time::timeout(ANSWER, self.answers.write_all(&line)).await, Ok(Ok(())))
    }

    async fn follow(&mut self, session: &Session, command: &str) {
        let mut follower = match session.follow(command) {
            Ok(follower) => follower,
            Err(error) => {
                // Nobody there to take it is nothing to tell.
                let _ = self.answer(&failed(error.error().clone())).await;
                return;
            }
        };
        loop {
            let event = tokio::select! {
                event = follower.next() => event,
                () = gone(&mut self.lines) => return,
            };
            let answer = match event {
                Some(FollowEvent::Output { stream, lost, bytes }) => {
                    let stream = if stream == OutputStream::Stderr { "stderr" } else { "stdout" };
                    Answer::Output { stream: stream.to_owned(), lost, bytes: Bytes(bytes) }
                }
                Some(FollowEvent::Ended(status)) => Answer::Ended(Box::new(CommandReport::of(*status).quiet())),
                _ => return,
            };
            if !self.answer(&answer).await {
                return;
            }
        }
    }

    async fn attach(&mut self, session: &Session, command: &str, size: TerminalSize) {
        let attachment = session.attach(command).and_then(|attachment| attachment.resize(size).map(|()| attachment));
        let mut attachment = match attachment {
            Ok(attachment) => attachment,
            Err(error) => {
                // Nobody there to take it is nothing to tell.
                let _ = self.answer(&failed(error.error().clone())).await;
                return;
            }
        };
        let controller = attachment.controller();
        if !self.answer(&Answer::Screen(Bytes(attachment.screen().to_vec()))).await {
            return;
        }
        let (typed, mut keys) = tokio::sync::mpsc::channel::<Vec<u8>>(MOST_TYPED);
        // What is typed goes its own way, so that a program that does not read keeps nobody from seeing or leaving.
        let typist = controller.clone();
        let typing = tokio::spawn(async move {
            while let Some(bytes) = keys.recv().await {
                if typist.write_stdin(bytes).await.is_err() {
                    return;
                }
            }
        });
        let mut pending = Vec::new();
        loop {
            tokio::select! {
                shown = attachment.next() => {
                    let answer = shown.map_or(Answer::Detached {}, |bytes| Answer::Shown(Bytes(bytes)));
                    let last = matches!(answer, Answer::Detached {});
                    if !self.answer(&answer).await || last {
                        break;
                    }
                }
                line = part_of_line(&mut self.lines, &mut pending) => {
                    let Some(line) = line else { break };
                    match serde_json::from_slice(&line) {
                        // What a program that does not read is sent beyond that is dropped: a terminal does no less.
                        Ok(Keys::Typed(bytes)) => drop(typed.try_send(bytes.0)),
                        Ok(Keys::Size { rows, columns }) => drop(controller.resize(TerminalSize::new(rows, columns))),
                        Err(_) => break,
                    }
                }
            }
        }
        typing.abort();
    }
}

/// Comes back when the peer has gone away. Nothing more is to be said by it; what it says all the same is not listened to.
async fn gone(lines: &mut BufReader<OwnedReadHalf>) {
    let mut rest = [0; 256];
    while matches!(lines.read(&mut rest).await, Ok(1..)) {}
}

/// One line without its end; none at the end.
async fn line(lines: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let most = LONGEST_LINE as u64;
    lines.take(most).read_until(b'\n', &mut bytes).await?;
    // A line that is not whole is none: it was too long, or nobody wrote the rest.
    Ok((bytes.pop() == Some(b'\n')).then_some(bytes))
}

/// As [`line()`], but what has come stays in `pending` when this is not waited for to its end.
async fn part_of_line(lines: &mut BufReader<OwnedReadHalf>, pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let come = lines.fill_buf().await.ok()?;
        if come.is_empty() || pending.len() > LONGEST_LINE {
            return None;
        }
        let end = come.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(come.len(), |end| end + 1);
        pending.extend_from_slice(come.get(..taken).unwrap_or_default());
        lines.consume(taken);
        if end.is_some() {
            pending.pop();
            return Some(std::mem::take(pending));
        }
    }
}
