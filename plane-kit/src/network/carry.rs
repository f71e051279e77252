//! Bytes both ways between a run and a host, as they would go without anybody between: no more is taken than the other side takes, each
//! direction ends by itself, and a reset is passed on.

use super::splice::Pipe;
use super::traffic::Meter;
use super::worker::ended;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// A direction's buffer, in bytes.
const BUFFER: usize = 16 << 10;
/// After so many bytes a direction is worth a pipe.
const MUCH: usize = 256 << 10;
/// A connection on which nothing has moved for this long is let go: between one and two of them.
const IDLE: Duration = Duration::from_secs(3600);

/// Which way.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From the run.
    Out,
    /// To the run.
    In,
}

/// Carries bytes between `inner`, the run's side, and `outer` until both directions have ended; once `stop` says so, until what the run
/// sent has been handed on.
pub async fn carry(inner: TcpStream, outer: TcpStream, meter: &Meter, stop: watch::Receiver<bool>) {
    let _ = (inner.set_nodelay(true), outer.set_nodelay(true));
    let moved = AtomicBool::new(false);
    let out = one_way(&inner, &outer, Way::Out, meter, &moved);
    let back = one_way(&outer, &inner, Way::In, meter, &moved);
    if both(out, back, &moved, stop).await.is_err() {
        reset(inner);
        reset(outer);
    }
}

/// Waits for both directions; once `stop` says so, for what goes out alone.
///
/// # Errors
/// Of the direction that broke, and `TimedOut` where neither moved for long.
pub(super) async fn both(
    out: impl Future<Output = io::Result<()>>,
    back: impl Future<Output = io::Result<()>>,
    moved: &AtomicBool,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let (mut out, mut back) = (pin!(out), pin!(back));
    let (mut out_ended, mut back_ended, mut stopping) = (false, false, false);
    // Not at once at first: the runtime rounds that up to its next millisecond, which each connection would wait.
    let mut idle = interval_at(Instant::now() + IDLE, IDLE);
    idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !(out_ended && (back_ended || stopping)) {
        tokio::select! {
            outcome = &mut out, if !out_ended => {
                out_ended = true;
                // A host may answer before it has read all, and read no more.
                outcome.or_else(|error| if takes_no_more(&error) { Ok(()) } else { Err(error) })?;
            }
            outcome = &mut back, if !back_ended => {
                back_ended = true;
                outcome?;
            }
            () = ended(&mut stop), if !stopping => stopping = true,
            _ = idle.tick() => if !moved.swap(false, Ordering::Relaxed) {
                return Err(io::ErrorKind::TimedOut.into());
            },
        }
    }
    Ok(())
}

/// Whether `error` is one of writing to who takes nothing any more, and says nothing of what was sent the other way.
pub(super) fn takes_no_more(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// An error of writing as [`takes_no_more`] knows it. Reading meets a reset by the same name, and there it says that nothing more comes.
pub(super) fn of_writing(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected => {
            io::ErrorKind::BrokenPipe.into()
        }
        _ => error,
    }
}

/// Ends a connection so that the other side sees it broken and not at its end.
pub fn reset(stream: TcpStream) {
    // With a time of nothing to linger, closing sends a reset (tcp(7), socket(7)).
    let _ = setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 });
}

/// Carries one direction to its end, and ends it at the other side.
pub(super) async fn one_way(
    from: &TcpStream,
    to: &TcpStream,
    way: Way,
    meter: &Meter,
    moved: &AtomicBool,
) -> io::Result<()> {
    let count = |bytes: usize| {
        match way {
            Way::Out => meter.sent(bytes),
            Way::In => meter.received(bytes),
        }
        moved.store(true, Ordering::Relaxed);
    };
    if let Some(pipe) = copied(from, to, &count).await? {
        loop {
            match pipe.carry(from, to).await? {
                0 => break,
                bytes => count(bytes),
            }
        }
    }
    end_writing(to)
}

/// Says to the other side that nothing more comes.
pub(super) fn end_writing(to: &TcpStream) -> io::Result<()> {
    match shutdown(to.as_raw_fd(), Shutdown::Write) {
        // The other side has gone meanwhile.
        Ok(()) | Err(nix::errno::Errno::ENOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Copies until the end, or until it is worth a pipe and there is one: that pipe.
async fn copied(from: &TcpStream, to: &TcpStream, count: &impl Fn(usize)) -> io::Result<Option<Pipe>> {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    loop {
        let taken = match from.try_read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                from.readable().await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        write_all(to, buffer.get(..taken).unwrap_or_default()).await?;
        count(taken);
        done += taken;
        if done >= MUCH
            && let Some(pipe) = Pipe::take()
        {
            return Ok(Some(pipe));
        }
    }
}

/// Writes all of `bytes`.
///
/// # Errors
/// That of the socket, of writing.
pub async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(given) => bytes = bytes.get(given..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(of_writing(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    /// Both ends of a carried connection, and the meter.
    async fn carried() -> (TcpStream, TcpStream, Arc<Meter>, watch::Sender<bool>) {
        let ((guest, inner), (outer, host)) = (pair().await, pair().await);
        let (stop, stopped) = watch::channel(false);
        let meter = Arc::new(Meter::default());
        let own = meter.clone();
        tokio::spawn(async move { carry(inner, outer, &own, stopped).await });
        (guest, host, meter, stop)
    }

    #[tokio::test]
    async fn one_direction_ends_and_the_other_goes_on() {
        let (mut guest, mut host, _meter, _stop) = carried().await;
        guest.write_all(b"question").await.unwrap();
        guest.shutdown().await.unwrap();
        let mut text = Vec::new();
        host.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"question");
        host.write_all(b"answer").await.unwrap();
        drop(host);
        text.clear();
        guest.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"answer");
    }

    #[tokio::test]
    async fn much_arrives_whole_both_ways() {
        let (guest, host, meter, _stop) = carried().await;
        let many: Vec<u8> = (0..8_u32 << 20).map(|number| (number % 251) as u8).collect();
        let (mut from_guest, mut to_guest) = guest.into_split();
        let (mut from_host, mut to_host) = host.into_split();
        let (one, other) = (many.clone(), many.clone());
        let senders = [
            tokio::spawn(async move { to_guest.write_all(&one).await.map(|()| drop(to_guest)) }),
            tokio::spawn(async move { to_host.write_all(&other).await.map(|()| drop(to_host)) }),
        ];
        let (mut out, mut back) = (Vec::new(), Vec::new());
        let (read, other) = tokio::join!(from_host.read_to_end(&mut out), from_guest.read_to_end(&mut back));
        read.unwrap();
        other.unwrap();
        for sender in senders {
            sender.await.unwrap().unwrap();
        }
        assert!(out == many && back == many);
        assert_eq!(format!("{meter:?}").matches(&many.len().to_string()).count(), 2, "{meter:?}");
    }

    #[tokio::test]
    async fn a_reset_is_passed_on() {
        for guest_resets in [true, false] {
            let (mut guest, mut host, _meter, _stop) = carried().await;
            guest.write_all(b"x").await.unwrap();
            assert_eq!(host.read_u8().await.unwrap(), b'x');
            let mut other = if guest_resets {
                reset(guest);
                host
            } else {
                reset(host);
                guest
            };
            let error = other.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{guest_resets}");
        }
    }

    #[tokio::test]
    async fn a_slow_reader_holds_its_sender_back() {
        let (guest, mut host, _meter, _stop) = carried().await;
        let block = vec![7; 1 << 20];
        let mut sent = 0;
        // The buffers of four sockets and a pipe are all that can be on the way.
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(200), guest.writable()).await {
            sent += guest.try_write(&block).unwrap_or(0);
            assert!(sent < 64 << 20, "nothing held it back");
        }
        drop(guest);
        let mut text = Vec::new();
        host.read_to_end(&mut text).await.unwrap();
        assert_eq!(text.len(), sent);
    }
}
