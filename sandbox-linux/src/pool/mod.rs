//! Launchers held ready: namespaces made, root mounted, confined, and waiting for a program.
//!
//! Each is made for one context, is used for one execution and ends with it. A thread of the pool's makes them; it sleeps while
//! nothing is to be done.

mod stock;

use crate::cgroup::Cgroups;
use crate::context::Context;
use crate::counting::Counting;
use crate::launcher::Launcher;
use crate::parked::Parked;
use cofferdam_bridge::error::BridgeError;
use cofferdam_plane_kit::wakeup::Wakeup;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use stock::{Level, Next};

/// After this long without a start in its context, a launcher that waits is ended.
const IDLE: Duration = Duration::from_secs(60);

/// How many launchers a plane holds ready, and how long.
///
/// A start that finds one ready costs little more than the program itself. Each is a process with a sandbox of its own, of some tens
/// of kilobytes, and takes processor time to make: so the host decides how many there are. They serve the contexts in which
/// something was started last; executions on a terminal or with everything explained, and those of the tier `landlock`, are
/// started as without a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PoolOptions {
    size: usize,
    idle: Duration,
}

impl PoolOptions {
    /// As many as `size`, in all contexts together, for a minute.
    pub const fn new(size: usize) -> Self {
        Self { size, idle: IDLE }
    }

    /// Ends those of a context in which nothing was started for `idle`.
    pub const fn idle_after(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }
}

/// What a pool makes launchers with.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) cgroups: Cgroups,
}

/// The launchers of one plane that wait. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Pool {
    stock: Arc<Mutex<Stock>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stock {
    shelves: Vec<Shelf>,
    ended: bool,
}

/// Those of one context.
#[derive(Debug)]
struct Shelf {
    context: Weak<Context>,
    ready: Vec<Waiting>,
    wanted: Instant,
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    parked: Parked,
    /// Tells the end of its process.
    watch: Arc<OwnedFd>,
}

impl Pool {
    /// Starts the pool's thread, which has nothing to do yet.
    pub(crate) fn start(options: PoolOptions, tools: Tools) -> io::Result<Self> {
        let wakeup = Wakeup::new()?;
        let waker = wakeup.waker().clone();
        let stock = Arc::new(Mutex::new(Stock::default()));
        let keeper = Keeper { options, tools, stock: stock.clone(), wakeup };
        let thread = thread::Builder::new().name("cofferdam-pool".to_owned()).spawn(move || keeper.run())?;
        Ok(Self { stock, waker, thread: Some(thread) })
    }

    /// Says that starts in `context` are to be expected.
    pub(crate) fn announce(&self, context: &Arc<Context>) {
        lock(&self.stock).shelf(context).wanted = Instant::now();
        self.waker.wake_by_ref();
    }

    /// Says that a start is under way: what it took is made up for. Not before, so that it has the processors.
    pub(crate) fn started(&self) {
        self.waker.wake_by_ref();
    }

    /// One that is ready for a start in `context`, if there is one.
    pub(crate) fn take(&self, context: &Arc<Context>) -> Option<Parked> {
        let mut broken = Vec::new();
        let mut found = None;
        {
            let mut stock = lock(&self.stock);
            let shelf = stock.shelf(context);
            shelf.wanted = Instant::now();
            while let Some(waiting) = shelf.ready.pop() {
                if waiting.parked.is_sound() {
                    found = Some(waiting.parked);
                    break;
                }
                broken.push(waiting);
            }
        }
        found
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.stock).ended = true;
        self.waker.wake_by_ref();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Stock {
    fn shelf(&mut self, context: &Arc<Context>) -> &mut Shelf {
        let of = Arc::downgrade(context);
        let place = self.shelves.iter().position(|shelf| shelf.context.ptr_eq(&of)).unwrap_or_else(|| {
            self.shelves.push(Shelf { context: of, ready: Vec::new(), wanted: Instant::now(), failed: None });
            self.shelves.len() - 1
        });
        &mut self.shelves[place]
    }
}

/// The pool's thread.
struct Keeper {
    options: PoolOptions,
    tools: Tools,
    stock: Arc<Mutex<Stock>>,
    wakeup: Wakeup,
}

/// What one look at the stock comes to.
struct Turn {
    next: Next,
    /// For which context one is to be made ready.
    context: Option<Arc<Context>>,
    /// What tells the ends of those that wait.
    watches: Vec<Arc<OwnedFd>>,
    /// Those that are to be ended.
    gone: Vec<Waiting>,
}

impl Keeper {
    fn run(self) {
        loop {
            // What is ended here is reaped, which takes a moment: not with the lock held.
            let Turn { next, context, watches, gone } = {
                let mut stock = lock(&self.stock);
                if stock.ended {
                    let shelves = std::mem::take(&mut stock.shelves);
                    drop(stock);
                    drop(shelves);
                    return;
                }
                self.look(&mut stock)
            };
            drop(gone);
            match (next, context) {
                (Next::Fill(_), Some(context)) => self.fill(&context),
                (Next::Wait(until), _) => {
                    let most = until.map(|until| until.saturating_duration_since(Instant::now()));
                    if self.wakeup.wait(watches.iter().map(AsRef::as_ref), most).is_err() {
                        // Without poll(2) there is no telling when; seldom is better than a loop.
                        thread::sleep(Duration::from_secs(1));
                    }
                }
                _ => {}
            }
        }
    }

    /// Decides, and takes out what is to be ended.
    fn look(&self, stock: &mut Stock) -> Turn {
        let mut gone = Vec::new();
        stock.shelves.retain_mut(|shelf| {
            let (sound, broken) = shelf.ready.drain(..).partition(|waiting| waiting.parked.is_sound());
            shelf.ready = sound;
            gone.extend::<Vec<_>>(broken);
            let kept = shelf.context.strong_count() > 0;
            if !kept {
                gone.append(&mut shelf.ready);
            }
            kept
        });
        let level = |shelf: &Shelf| Level { ready: shelf.ready.len(), wanted: shelf.wanted, failed: shelf.failed };
        let levels: Vec<Level> = stock.shelves.iter().map(level).collect();
        let next = stock::next(&levels, self.options.size, self.options.idle, Instant::now());
        let mut context = None;
        match next {
            Next::Fill(place) => context = stock.shelves.get(place).and_then(|shelf| shelf.context.upgrade()),
            Next::Drain(place) => {
                gone.extend(stock.shelves.get_mut(place).and_then(|shelf| shelf.ready.pop()));
            }
            Next::Wait(_) => {}
        }
        let watches = stock.shelves.iter().flat_map(|shelf| shelf.ready.iter().map(|waiting| waiting.watch.clone()));
        Turn { next, context, watches: watches.collect(), gone }
    }

    fn fill(&self, context: &Arc<Context>) {
        let made = self.tools.ready(context);
        let mut stock = lock(&self.stock);
        let shelf = stock.shelf(context);
        match made {
            Ok(waiting) => {
                shelf.failed = None;
                shelf.ready.push(waiting);
            }
            // The next start meets the same and tells it.
            Err(_) => shelf.failed = Some(Instant::now()),
        }
    }
}

impl Tools {
    fn ready(&self, context: &Context) -> Result<Waiting, BridgeError> {
        let limits = &context.profile.limits;
        let count =
            |control: std::os::fd::BorrowedFd<'_>| Counting::begin(&self.cgroups, limits, &self.launcher, control);
        let parked = context.park(&self.launcher)?.confine(context.confinement()?, count)?;
        let watch = parked.watch().map_err(|error| crate::step_report::spawn_failed(&error))?;
        Ok(Waiting { parked, watch: Arc::new(watch) })
    }
}

/// Whatever panics with this lock held leaves a stock that is as good as any.
fn lock(stock: &Mutex<Stock>) -> MutexGuard<'_, Stock> {
    stock.lock().unwrap_or_else(PoisonError::into_inner)
}
