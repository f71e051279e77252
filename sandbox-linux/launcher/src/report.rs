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

    /// A socket of the sandbox's network.
    pub fn socket(port: u16, datagrams: u64, has_v6: bool) -> Self {
        let mut message = Self::new(message::SOCKET, 0);
        message.values[message::socket::PORT] = port as u64;
        message.values[message::socket::DATAGRAMS] = datagrams;
        message.values[message::socket::HAS_V6] = has_v6 as u64;
        message
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

#[repr(C)]
struct OneDescriptor {
    length: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const MSG_NOSIGNAL: usize = 0x4000;

/// Sends a message, with a descriptor unless it is negative. A supervisor that is gone will end us by itself.
pub fn send(message: &Message, descriptor: i32) -> isize {
    let vector = IoVector { base: core::ptr::from_ref(message).cast(), length: message::LENGTH };
    let control = OneDescriptor { length: 20, level: SOL_SOCKET, kind: SCM_RIGHTS, descriptor, padding: 0 };
    let with = descriptor >= 0;
    let header = MessageHeader {
        name: core::ptr::null(),
        name_length: 0,
        vectors: &raw const vector,
        vector_count: 1,
        control: if with { (&raw const control).cast() } else { core::ptr::null() },
        control_length: if with { size_of::<OneDescriptor>() } else { 0 },
        flags: 0,
    };
    // SAFETY: header, vector, control and message live until the call returns.
    unsafe { call!(nr::SENDMSG, CONTROL_FD, &raw const header, MSG_NOSIGNAL) }
}

/// Reports that operation `index` (of kind `code`) of a plan failed, and ends.
pub fn fail(index: u32, code: u32, errno: i32, detail: u64, plan: u32) -> ! {
    let values = [detail, plan as u64, 0, 0, 0, 0, 0, 0];
    let message = Message { kind: message::FAILED, index, code, errno, values };
    send(&message, -1);
    end(1)
}

/// Ends this process.
pub fn end(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes an integer and does not return.
        unsafe { call!(nr::EXIT_GROUP, status) };
    }
}
