//! Bytes from one socket to another by way of a pipe, without copying them through this process (splice(2), Linux).

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::Pipe;

#[cfg(target_os = "linux")]
mod linux {
    use super::super::carry::of_writing;
    use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
    use nix::unistd::pipe2;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// As many pipes as there are at once, for the connections that carry most: each takes two descriptors of the host.
    const MOST_PIPES: usize = 32;
    /// What a pipe shall hold, in bytes.
    const PIPE_BYTES: i32 = 512 << 10;
    /// As much as is asked for at once.
    const AT_ONCE: usize = 1 << 20;

    static PIPES: AtomicUsize = AtomicUsize::new(0);

    /// One pipe on the way between two sockets.
    #[derive(Debug)]
    pub(in super::super) struct Pipe {
        out: OwnedFd,
        into: OwnedFd,
    }

    impl Pipe {
        /// A pipe, if there may be another.
        pub(in super::super) fn take() -> Option<Self> {
            if PIPES.fetch_add(1, Ordering::Relaxed) >= MOST_PIPES {
                PIPES.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let Ok((out, into)) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC) else {
                PIPES.fetch_sub(1, Ordering::Relaxed);
                return None;
            };
            // Where the user's pipes hold too much already, it stays as it is.
            let _ = fcntl(&into, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            Some(Self { out, into })
        }

        /// Moves what there is from one socket to the other: how much; 0 at the end.
        pub(in super::super) async fn carry(&self, from: &TcpStream, to: &TcpStream) -> io::Result<usize> {
            let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
            let taken = from
                .async_io(Interest::READABLE, || {
                    Ok(splice(from.as_fd(), None, self.into.as_fd(), None, AT_ONCE, flags)?)
                })
                .await?;
            let mut left = taken;
            while left > 0 {
                let given = to
                    .async_io(Interest::WRITABLE, || Ok(splice(self.out.as_fd(), None, to.as_fd(), None, left, flags)?))
                    .await
                    .map_err(of_writing)?;
                left = left.saturating_sub(given);
            }
            Ok(taken)
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            PIPES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;
    use tokio::net::TcpStream;

    /// There is none here.
    #[derive(Debug)]
    pub(in super::super) enum Pipe {}

    impl Pipe {
        /// None.
        pub(in super::super) fn take() -> Option<Self> {
            None
        }

        /// Never called.
        pub(in super::super) async fn carry(&self, _: &TcpStream, _: &TcpStream) -> io::Result<usize> {
            match *self {}
        }
    }
}
