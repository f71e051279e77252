//! Messages to the supervisor.

use crate::format::{CONTROL_FD, message};
use crate::raw_call::{call, nr};
use crate::step::account::Account;

/// One message, laid out as `format::message` tells.
#[repr(C)]
pub struct Message {
    kind: u32,
    index: u32,
    code: u32,
    errno: i32,
    values: [u64; message::VALUES],
}

const _: () = assert!(size_of::<Message>() == message::LENGTH);

impl Message {
    /// A message of `kind` with one value.
    pub fn new(kind: u32, value: u64) -> Self {
        let mut values = [0; message::VALUES];
        values[0] = value;
        Self { kind, index: 0, code: 0, errno: 0, values }
    }

    /// The program ended with `status`; `account` is told with it.
    pub fn exited(status: i32, account: &Account) -> Self {
        let mut message = Self::new(message::EXITED, status as u32 as u64);
        account.tell(&mut message.values);
        message
    }
}

#[repr(C)]
struct IoVector {
    base: *const u8,
    length: usize,
}

#[repr(C)]
struct MessageHeader {
    name: *const u8,
    name_length: u32,
    vectors: *const IoVector,
    vector_count: usize,
    control: *const u8,
    control_length: usize,
    flags: i32,
}

/// `struct cmsghdr` of cmsg(3), and room for what it is about.
#[repr(C)]
struct Descriptors {
    length: usize,
    level: i32,
    kind: i32,
    all: [i32; message::VALUES],
}

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const MSG_NOSIGNAL: usize = 0x4000;

/// Sends a message with as many of `descriptors` as it has values at most. A supervisor that is gone will end us by itself.
pub fn send(message: &Message, descriptors: &[i32]) -> isize {
    let vector = IoVector { base: core::ptr::from_ref(message).cast(), length: message::LENGTH };
    let mut all = [0; message::VALUES];
    for (place, descriptor) in all.iter_mut().zip(descriptors) {
        *place = *descriptor;
    }
    let length = 16 + size_of::<i32>() * descriptors.len().min(message::VALUES);
    let control = Descriptors { length, level: SOL_SOCKET, kind: SCM_RIGHTS, all };
    let with = !descriptors.is_empty();
    let header = MessageHeader {
        name: core::ptr::null(),
        name_length: 0,
        vectors: &raw const vector,
        vector_count: 1,
        control: if with { (&raw const control).cast() } else { core::ptr::null() },
        control_length: if with { length.next_multiple_of(size_of::<usize>()) } else { 0 },
        flags: 0,
    };
    // SAFETY: header, vector, control and message live until the call returns.
    unsafe { call!(nr::SENDMSG, CONTROL_FD, &raw const header, MSG_NOSIGNAL) }
}

/// Sockets on their way to the supervisor, as many to a message as it has values: each message wakes it.
pub struct Sockets {
    message: Message,
    descriptors: [i32; message::VALUES],
    count: usize,
}

impl Sockets {
    /// None yet.
    pub fn new() -> Self {
        Self { message: Message::new(message::SOCKETS, 0), descriptors: [0; message::VALUES], count: 0 }
    }

    /// Adds `socket`, of which `value` tells as `message::socket` has it. It is not ours any more.
    pub fn add(&mut self, value: u64, socket: usize) -> isize {
        let places = self.message.values.get_mut(self.count).zip(self.descriptors.get_mut(self.count));
        if let Some((place, descriptor)) = places {
            (*place, *descriptor) = (value, socket as i32);
            self.count += 1;
        }
        if self.count == message::VALUES { self.send() } else { 0 }
    }

    /// Sends those that were not sent yet, and closes them here.
    pub fn send(&mut self) -> isize {
        let descriptors = self.descriptors.get(..self.count).unwrap_or_default();
        let sent = if descriptors.is_empty() { 0 } else { send(&self.message, descriptors) };
        for descriptor in descriptors {
            // SAFETY: integers only.
            unsafe { call!(nr::CLOSE, *descriptor) };
        }
        self.count = 0;
        sent
    }
}

/// Reports that operation `index` (of kind `code`) of a plan failed, and ends.
pub fn fail(index: u32, code: u32, errno: i32, detail: u64, plan: u32) -> ! {
    let values = [detail, plan as u64, 0, 0, 0, 0, 0, 0];
    let message = Message { kind: message::FAILED, index, code, errno, values };
    send(&message, &[]);
    end(1)
}

/// Ends this process.
pub fn end(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes an integer and does not return.
        unsafe { call!(nr::EXIT_GROUP, status) };
    }
}
