//! The process that owns a session: it listens, serves, remembers, and ends with its idle time, on request, or by a signal.

use super::inheritance::{self, Inheritance};
use super::place::Place;
use super::remembered::Remembered;
use super::serve::{self, Ends, Peer};
use crate::failure::{Failure, io};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::session::Session;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a session stays open when nobody asks anything of it, where nothing else is said.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);

/// The first line of a host, to whoever started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FirstWord {
    /// It listens.
    Ready {
        pid: u32,
        socket: String,
        /// What a host before it left.
        before: Option<Inheritance>,
    },
    /// It does not, and ends.
    Failed(cofferdam_bridge::error::BridgeError),
}

/// Owns the session that `open` makes until it ends. Says its first word on standard output, and nothing afterwards.
pub(crate) fn run(
    place: &Place,
    idle: Duration,
    open: impl FnOnce() -> Result<Session, Failure>,
) -> Result<(), Failure> {
    // No signal of the terminal that it was opened from reaches it. Whoever leads a group already keeps it, and its terminal.
    let _ = nix::unistd::setsid();
    let begun = begin(place, open);
    match begun {
        Ok((host, before)) => {
            let socket = place.shown_socket().display().to_string();
            say(&FirstWord::Ready { pid: std::process::id(), socket, before });
            host.run(place, idle)
        }
        Err(failure) => {
            say(&FirstWord::Failed(failure.error().clone()));
            Err(failure)
        }
    }
}

/// Whoever waits for the word may be gone; then there is nobody to tell.
fn say(word: &FirstWord) {
    let line = serde_json::to_string(word).unwrap_or_default();
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A session and what belongs to it.
struct Host {
    session: Session,
    listener: std::os::unix::net::UnixListener,
    /// Holds the session's name for as long as this process lives.
    lock: std::fs::File,
}

fn begin(
    place: &Place,
    open: impl FnOnce() -> Result<Session, Failure>,
) -> Result<(Host, Option<Inheritance>), Failure> {
    let name = place.name();
    let lock = place.lock()?.ok_or_else(|| {
        Failure::new(ErrorCode::AlreadyExists, format!("the session `{name}` is open already"))
            .hint(format!("cofferdam session close {name}"))
    })?;
    let before = inheritance::find(place)?;
    let session = open()?;
    // A socket that is there is a dead host's: the lock is ours.
    let _ = std::fs::remove_file(place.socket());
    let listener = std::os::unix::net::UnixListener::bind(place.socket());
    let listener = listener.map_err(|error| io("the session's socket cannot be made", &error))?;
    // Its directory lets nobody else in, not for this moment either.
    let only_us = std::fs::set_permissions(place.socket(), Permissions::from_mode(0o600));
    only_us.and(listener.set_nonblocking(true)).map_err(|error| io("the session's socket cannot be used", &error))?;
    Remembered::now(&session.statuses()).write(place)?;
    Ok((Host { session, listener, lock }, before))
}

/// Who is being served, and since when nobody is.
#[derive(Debug)]
pub(super) struct Guests {
    served: AtomicUsize,
    last: std::sync::Mutex<Instant>,
}

impl Guests {
    fn new() -> Arc<Self> {
        Arc::new(Self { served: AtomicUsize::new(0), last: std::sync::Mutex::new(Instant::now()) })
    }

    /// One more, until the answer is dropped.
    fn one(self: &Arc<Self>) -> Guest {
        self.served.fetch_add(1, Ordering::SeqCst);
        Guest(self.clone())
    }

    /// When the session has been idle for `limit`, as far as is known now.
    fn idle_from(&self, limit: Duration) -> Instant {
        let busy = self.served.load(Ordering::SeqCst) > 0;
        let last = *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if busy { Instant::now() + limit } else { last + limit }
    }
}

struct Guest(Arc<Guests>);

impl Drop for Guest {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        self.0.served.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Host {
    fn run(self, place: &Place, idle: Duration) -> Result<(), Failure> {
        let runtime = crate::compose::runtime().map_err(|error| io("the session cannot be served", &error))?;
        // Nothing of where it was opened is held on to.
        let _ = std::env::set_current_dir("/");
        let Self { session, listener, lock } = self;
        let session = Arc::new(session);
        let outcome = runtime.block_on(served(&session, listener, place, idle));
        runtime.block_on(session.close());
        let _ = std::fs::remove_file(place.socket());
        Remembered::forget(place);
        // From here on the name is free: whoever asked for the end may open it anew as soon as they are told.
        drop(lock);
        let outcome = outcome.map(|asked| asked.into_iter().for_each(|peer| runtime.block_on(peer.done())));
        runtime.shutdown_background();
        outcome
    }
}

async fn served(
    session: &Arc<Session>,
    listener: std::os::unix::net::UnixListener,
    place: &Place,
    idle: Duration,
) -> Result<Option<Peer>, Failure> {
    let cannot = |error: std::io::Error| io("the session cannot be served", &error);
    let listener = UnixListener::from_std(listener).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    // A terminal that is closed is none of its affair.
    let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
    let (guests, mut changes) = (Guests::new(), session.changes());
    let (ends, mut ended) = mpsc::channel(1);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors, most likely: others end and give some back.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let own = nix::unistd::geteuid().as_raw();
                if stream.peer_cred().is_ok_and(|peer| peer.uid() == own) {
                    let (guest, session, ends, name) = (guests.one(), session.clone(), ends.clone(), place.name().to_owned());
                    tokio::spawn(async move {
                        let answered = serve::one(&session, &name, stream).await;
                        drop(session);
                        drop(guest);
                        if let Ends::Session(peer) = answered {
                            // A second one who asked for the same finds the connection closed.
                            let _ = ends.try_send(peer);
                        }
                    });
                }
            }
            true = changes.next() => {
                // A full disk keeps no command from running; what is not written is told by the next change.
                let _ = Remembered::now(&session.statuses()).write(place);
            }
            asked = ended.recv() => return Ok(asked),
            _ = terminate.recv() => return Ok(None),
            _ = interrupt.recv() => return Ok(None),
            _ = hangup.recv() => {}
            () = tokio::time::sleep_until(guests.idle_from(idle)) => {
                if guests.idle_from(idle) <= Instant::now() {
                    return Ok(None);
                }
            }
        }
    }
}
