//! The thread that a run's network lives on.

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;

/// As many lookups as one run has under way.
const MOST_LOOKUPS: usize = 8;
/// How long a thread for lookups stays without one.
const LOOKUP_IDLE: Duration = Duration::from_secs(5);
/// How long what a run has sent may still take when the run has ended.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Enough for what a runtime and its tasks need: buffers lie on the heap.
const STACK: usize = 512 << 10;

/// Waits until the run has ended, or its worker has been let go.
pub async fn ended(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A thread with a runtime of its own. Dropping it ends both.
#[derive(Debug)]
pub struct Worker {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread and there what `main` makes. It is handed what becomes `true` when the run has ended, and has a second from
    /// then on.
    ///
    /// # Errors
    /// Where there is no thread or no descriptor for it.
    pub fn start<F, M>(main: M) -> io::Result<Self>
    where
        F: Future<Output = ()>,
        M: FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MOST_LOOKUPS)
            .thread_keep_alive(LOOKUP_IDLE)
            .thread_name("cofferdam-names")
            .build()?;
        let (stop, mut stopped) = watch::channel(false);
        let thread =
            thread::Builder::new().name("cofferdam-network".to_owned()).stack_size(STACK).spawn(move || {
                let main = main(stopped.clone());
                runtime.block_on(async move {
                    let late = async {
                        ended(&mut stopped).await;
                        tokio::time::sleep(LAST_MOMENT).await;
                    };
                    tokio::select! {
                        () = main => {}
                        () = late => {}
                    }
                });
                // A lookup that the system still waits for holds nobody up.
                runtime.shutdown_background();
            })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Lets what is under way come to its end, for a moment at most, and ends the thread.
    pub fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}
