//! The broker's thread: takes calls one after the other, and answers each.

use super::attempts::Attempts;
use super::call::Call;
use super::explain;
use super::findings::Findings;
use super::guest_memory;
use super::guest_path::GuestFiles;
use super::judge::Judge;
use super::notify::{Listener, Notification};
use super::observe::Watch;
use super::open::{open_fifo, release_fifo};
use super::put_aside::{Answered, PutAside};
use super::raw_call::{SocketAddress, connect, drop_capabilities, own_file_mode_mask};
use super::sockets::{OwnSockets, does_not_block, release_socket};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// It is done, and the caller finds these bytes at `to`.
    Memory { to: u64, bytes: Vec<u8>, value: i64 },
    /// It goes on: it would not have been asked about but for the sake of explaining.
    GoOn,
    /// The caller gets this descriptor.
    Descriptor { file: OwnedFd, close_on_exec: bool },
    /// A socket that is to be connected, and what the address leads to where that is a file.
    Connect { socket: OwnedFd, address: SocketAddress, object: Option<OwnedFd> },
    /// A FIFO whose opening waits for the other end.
    Fifo { object: OwnedFd, flags: OFlag, close_on_exec: bool },
}

/// One execution's calls.
pub(super) struct Server {
    pub(super) files: GuestFiles,
    pub(super) judge: Judge,
    /// Whether opens for reading are judged, too.
    pub(super) judges_reads: bool,
    /// Whether directories that overlayfs does not rename are moved name by name.
    pub(super) moves: bool,
    /// What looking at more calls needs, where refusals are to be explained.
    pub(super) watch: Option<Watch>,
    /// What was asked for in vain, as far as that is looked at.
    pub(super) attempts: Attempts,
    /// The sockets with a path that the guest bound.
    pub(super) sockets: OwnSockets,
}

/// What a thread waits for, so that it can be let go. The thread alone holds it: a socket that was held any longer would stay open
/// when the guest closes it, and the other side would not hear of its end.
enum Waiter {
    /// The other end of a FIFO.
    Fifo(Weak<OwnedFd>),
    /// Somebody who accepts.
    Socket(Weak<OwnedFd>),
}

impl Waiter {
    /// Lets its thread go.
    fn release(&self) {
        match self {
            Self::Fifo(object) => drop(object.upgrade().inspect(|object| release_fifo(object))),
            Self::Socket(socket) => drop(socket.upgrade().inspect(|socket| release_socket(socket))),
        }
    }
}

/// A call that waits on a thread of its own.
struct Waiting {
    id: u64,
    waiter: Waiter,
    thread: JoinHandle<()>,
}

/// As many as may wait at once. Each takes up to two descriptors of the host's, which may have no more than a thousand.
const MOST_WAITING: usize = 128;

/// Serves `listener` until nobody is left who could call, or `stop` is closed.
pub(super) fn run(mut server: Server, listener: Listener, stop: &OwnedFd, mut aside: PutAside) -> Findings {
    // What the guest may not do we must not do for it: it has no capabilities, and its umask is applied by hand.
    let ready = drop_capabilities().and_then(|()| own_file_mode_mask());
    let listener = Arc::new(listener);
    let mut waiting = Vec::new();
    loop {
        match wait(&listener, stop, &aside) {
            Woken::Call => {}
            Woken::Answer => {
                aside.forget_gone(&listener);
                while let Some(answered) = aside.next() {
                    let notification = answered.notification;
                    let answer = server.answer_again(&listener, answered);
                    server.settle(&listener, &notification, answer, &mut aside, &mut waiting);
                }
                continue;
            }
            Woken::End => break,
        }
        let Ok(notification) = listener.receive() else { continue };
        if let Err(errno) = ready {
            listener.answer(notification.id, Err(errno));
            continue;
        }
        server.judge.permits.begin(Vec::new());
        let answer = server.answer(&listener, &notification);
        server.settle(&listener, &notification, answer, &mut aside, &mut waiting);
        waiting.retain(|one: &Waiting| !one.thread.is_finished());
    }
    for Waiting { waiter, thread, .. } in waiting {
        waiter.release();
        let _ = thread.join();
    }
    server.findings()
}

/// Why the thread goes on.
enum Woken {
    /// A call waits.
    Call,
    /// An answer of the host's has come, or it is time to look who still waits for one.
    Answer,
    /// Everybody who could call has ended.
    End,
}

/// How often it is looked whether threads still wait for what was asked for them: of those that were killed nobody tells.
const LOOK_MILLISECONDS: u16 = 250;

fn wait(listener: &Listener, stop: &OwnedFd, aside: &PutAside) -> Woken {
    let most = if aside.is_empty() { PollTimeout::NONE } else { PollTimeout::from(LOOK_MILLISECONDS) };
    loop {
        let mut watched = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(aside.arrived(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, most) {
            Err(Errno::EINTR) => continue,
            Err(_) => return Woken::End,
            Ok(0) => return Woken::Answer,
            Ok(_) => {}
        }
        let happened = |at: usize| watched.get(at).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        if happened(2).contains(PollFlags::POLLIN) {
            return Woken::Answer;
        }
        if happened(0).contains(PollFlags::POLLIN) {
            return Woken::Call;
        }
        if !happened(0).is_empty() || !happened(1).is_empty() {
            return Woken::End;
        }
    }
}

fn give(
    listener: &Arc<Listener>,
    notification: &Notification,
    answer: Result<Answer, Errno>,
    waiting: &mut Vec<Waiting>,
) {
    let id = notification.id;
    match answer {
        Ok(Answer::Done) => listener.answer(id, Ok(())),
        Ok(Answer::Memory { to, bytes, value }) => {
            match guest_memory::write(notification.thread, || listener.is_valid(id), to, &bytes) {
                Ok(()) => listener.answer_with(id, value),
                Err(errno) => listener.answer(id, Err(errno)),
            }
        }
        Ok(Answer::GoOn) => listener.let_go_on(id),
        Ok(Answer::Descriptor { file, close_on_exec }) => hand_over(listener, id, &file, close_on_exec),
        Ok(Answer::Fifo { object, flags, close_on_exec }) => {
            let object = Arc::new(object);
            let (waiter, own) = (Waiter::Fifo(Arc::downgrade(&object)), listener.clone());
            let open = move || match open_fifo(&object, flags) {
                Ok(file) => hand_over(&own, id, &file, close_on_exec),
                Err(errno) => own.answer(id, Err(errno)),
            };
            wait_elsewhere(listener, id, waiter, waiting, open);
        }
        Ok(Answer::Connect { socket, address, object }) => {
            if does_not_block(&socket) {
                return listener.answer(id, connect(&socket, &address));
            }
            let socket = Arc::new(socket);
            let (waiter, own) = (Waiter::Socket(Arc::downgrade(&socket)), listener.clone());
            wait_elsewhere(listener, id, waiter, waiting, move || {
                let outcome = connect(&socket, &address);
                drop((socket, object));
                own.answer(id, outcome);
            });
        }
        Err(errno) => listener.answer(id, Err(errno)),
    }
}

/// Does what may take long on a thread of its own, so that other calls are answered meanwhile.
fn wait_elsewhere(
    listener: &Listener,
    id: u64,
    waiter: Waiter,
    waiting: &mut Vec<Waiting>,
    work: impl FnOnce() + Send + 'static,
) {
    // Whoever waited may have been killed: nobody else would end those threads before the run does.
    for one in waiting.iter().filter(|one| !listener.is_valid(one.id)) {
        one.waiter.release();
    }
    if waiting.len() >= MOST_WAITING {
        return listener.answer(id, Err(Errno::EAGAIN));
    }
    match thread::Builder::new().name("cofferdam-waiter".to_owned()).stack_size(64 * 1024).spawn(work) {
        Ok(thread) => waiting.push(Waiting { id, waiter, thread }),
        Err(_) => listener.answer(id, Err(Errno::EAGAIN)),
    }
}

fn hand_over(listener: &Listener, id: u64, file: &OwnedFd, close_on_exec: bool) {
    if let Err(errno) = listener.hand_over(id, file.as_fd(), close_on_exec) {
        // Its table is full, or it is gone, and then nobody hears this.
        listener.answer(id, Err(errno));
    }
}

impl Server {
    /// Answers a call, unless it came to a question: then it is put aside until the host has answered.
    fn settle(
        &mut self,
        listener: &Arc<Listener>,
        notification: &Notification,
        answer: Result<Answer, Errno>,
        aside: &mut PutAside,
        waiting: &mut Vec<Waiting>,
    ) {
        let question = self.judge.permits.take();
        let answer = match (answer, question) {
            (Err(_), Some((question, before))) => match aside.put(notification, question, before) {
                Ok(()) => return,
                Err(errno) => Err(errno),
            },
            (answer, _) => answer,
        };
        give(listener, notification, answer, waiting);
    }

    /// Serves a call anew, which the host was asked about: whatever it named may be something else by now.
    fn answer_again(&mut self, listener: &Listener, answered: Answered) -> Result<Answer, Errno> {
        let Answered { notification, question, outcome, permits } = answered;
        self.judge.permits.begin(permits);
        if outcome.is_allowed() {
            return self.answer(listener, &notification);
        }
        let access = question.access.as_str();
        self.judge.findings.asked(notification.thread, access, &question.path, question.rule, outcome.why());
        Err(super::judge::REFUSED)
    }

    fn answer(&mut self, listener: &Listener, notification: &Notification) -> Result<Answer, Errno> {
        let plain = self.watch.as_ref().map(|watch| watch.verdict(notification));
        match plain {
            Some(plain) => self.watched(plain, listener, notification),
            None => self.served(listener, notification),
        }
    }

    /// All that was found, with what was asked for in vain explained.
    fn findings(mut self) -> Findings {
        if let Some(watch) = &self.watch {
            let denials = explain::denials(&mut self.attempts, &self.judge, watch);
            self.judge.findings.explained(denials);
        }
        self.judge.findings
    }

    /// Does what the guest asked for, if it may be.
    pub(super) fn served(&mut self, listener: &Listener, notification: &Notification) -> Result<Answer, Errno> {
        let call = Call::of(notification).ok_or(Errno::ENOSYS)?;
        // The thread's number may have passed to another one, whose memory and directories are not the caller's.
        let thread = notification.thread;
        if !listener.is_valid(notification.id) {
            return Err(Errno::ESRCH);
        }
        let done = match call {
            Call::Open { path, flags, mode } => return self.open(thread, path, flags, mode),
            Call::Connect { socket, address, length } => return self.connect(thread, socket, address, length),
            Call::Look { path, to, flags } => return self.look(thread, path, to, flags),
            Call::LookClosely { path, flags, mask, to } => return self.look_closely(thread, path, flags, mask, to),
            Call::ReadLink { path, to, room } => return self.read_link(thread, path, to, room),
            Call::FileSystem { path, to } => return self.look_at_file_system(thread, path, to),
            Call::Attribute { target, call } => return self.attribute(thread, target, call),
            Call::ChangeOwner { target, user, group } => self.change_owner(thread, target, user, group),
            Call::Watch { watcher, path, mask } => return self.watch(thread, watcher, path, mask),
            Call::Access { path, mode, flags } => self.access(thread, path, mode, flags),
            Call::Bind { socket, address, length } => self.bind(thread, socket, address, length),
            Call::Listen { socket, backlog } => self.listen(thread, socket, backlog),
            Call::MakeDirectory { path, mode } => self.make_directory(thread, path, mode),
            Call::MakeNode { path, mode } => self.make_node(thread, path, mode),
            Call::Rename { from, to, flags } => {
                self.rename(thread, from, to, flags, &|| listener.is_valid(notification.id))
            }
            Call::Link { from, to, flags } => self.link(thread, from, to, flags),
            Call::SymbolicLink { target, path } => self.symbolic_link(thread, target, path),
            Call::Remove { path, directory } => self.remove(thread, path, directory),
            Call::Truncate { path, length } => self.truncate(thread, path, length),
            Call::ChangeMode { path, mode, flags } => self.change_mode(thread, path, mode, flags),
            Call::ChangeTimes { path, times, flags } => self.change_times(thread, path, times, flags),
            Call::ChangeDescriptorMode { descriptor, mode } => self.change_descriptor_mode(thread, descriptor, mode),
        };
        done.map(|()| Answer::Done)
    }
}
