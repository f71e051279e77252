//! Receives the plan and reads it: a cursor over bytes that never goes past their end.

use crate::format::{CONTROL_FD, HEADER_LENGTH, MAGIC, MAX_PLAN, STREAM_COUNT};
use crate::raw_call::{call, nr};
use crate::state::State;
use crate::step::{EBADMSG, Errno, check};

/// The operations of a plan and how many there are.
pub struct Plan {
    /// The bytes.
    pub cursor: Cursor,
    /// How many operations they hold.
    pub count: u32,
    /// Where the bytes lie.
    pub memory: Memory,
}

/// Memory of a plan.
#[derive(Clone, Copy)]
pub struct Memory {
    at: *mut u8,
    length: usize,
}

impl Memory {
    /// Gives it back. Nothing that came from the plan may be used any more.
    pub fn free(self) {
        // SAFETY: a mapping of our own, which the caller has done with.
        unsafe { call!(nr::MUNMAP, self.at, self.length) };
    }
}

#[repr(C)]
struct IoVector {
    base: *mut u8,
    length: usize,
}

#[repr(C)]
struct MessageHeader {
    name: *mut u8,
    name_length: u32,
    vectors: *mut IoVector,
    vector_count: usize,
    control: *mut u8,
    control_length: usize,
    flags: i32,
}

#[repr(C, align(8))]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    descriptors: [i32; MOST_DESCRIPTORS],
}

/// As many descriptors as come with one message.
pub const MOST_DESCRIPTORS: usize = 4;

const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

/// Reads header, descriptors and operations from the control socket; nothing where it was closed instead.
pub fn receive(state: &mut State) -> Result<Option<Plan>, Errno> {
    let mut header = [0_u8; HEADER_LENGTH];
    if !receive_header(&mut header, state)? {
        return Ok(None);
    }
    let mut words = Cursor { at: header.as_ptr(), left: HEADER_LENGTH };
    let (magic, length, count) = (words.u32()?, words.u32()? as usize, words.u32()?);
    if magic != MAGIC || length > MAX_PLAN {
        return Err(EBADMSG);
    }
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let at = check(unsafe { call6_mmap(length.max(1)) })? as *mut u8;
    read_exactly(at, length)?;
    Ok(Some(Plan { cursor: Cursor { at, left: length }, count, memory: Memory { at, length: length.max(1) } }))
}

unsafe fn call6_mmap(length: usize) -> isize {
    // PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
    // SAFETY: see `receive`.
    unsafe { crate::raw_call::call6(nr::MMAP, [0, length, 3, 0x22, usize::MAX, 0]) }
}

fn receive_header(header: &mut [u8; HEADER_LENGTH], state: &mut State) -> Result<bool, Errno> {
    let mut descriptors = [-1; MOST_DESCRIPTORS];
    let (got, count) = receive_descriptors(header, &mut descriptors)?;
    if got == 0 {
        return Ok(false);
    }
    if got < HEADER_LENGTH {
        let rest = header.get_mut(got..).ok_or(EBADMSG)?;
        read_exactly(rest.as_mut_ptr(), rest.len())?;
    }
    match count {
        0 => {}
        STREAM_COUNT => state.streams.copy_from_slice(descriptors.get(..STREAM_COUNT).ok_or(EBADMSG)?),
        _ => return Err(EBADMSG),
    }
    Ok(true)
}

/// Receives bytes, and the descriptors that come with them: how many of each.
pub fn receive_descriptors(
    bytes: &mut [u8],
    descriptors: &mut [i32; MOST_DESCRIPTORS],
) -> Result<(usize, usize), Errno> {
    let mut vector = IoVector { base: bytes.as_mut_ptr(), length: bytes.len() };
    let mut control = Control { length: 0, level: 0, kind: 0, descriptors: [-1; MOST_DESCRIPTORS] };
    let mut message = MessageHeader {
        name: core::ptr::null_mut(),
        name_length: 0,
        vectors: &raw mut vector,
        vector_count: 1,
        control: (&raw mut control).cast(),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: message and all it points to live until the call returns.
    let got = check(unsafe { call!(nr::RECVMSG, CONTROL_FD, &raw mut message, MSG_CMSG_CLOEXEC) })?;
    // A cmsghdr is 16 bytes, each descriptor 4. The kernel writes none where no descriptors came.
    let count = if message.control_length < 16 { 0 } else { control.length.saturating_sub(16) / 4 };
    *descriptors = control.descriptors;
    Ok((got, count.min(MOST_DESCRIPTORS)))
}

fn read_exactly(to: *mut u8, length: usize) -> Result<(), Errno> {
    let mut done = 0;
    while done < length {
        // SAFETY: `to` has `length` bytes, of which `done` are filled.
        let got = check(unsafe { call!(nr::READ, CONTROL_FD, to.add(done), length - done) })?;
        if got == 0 {
            return Err(EBADMSG);
        }
        done += got;
    }
    Ok(())
}

/// A place in the plan and how much is left of it.
#[derive(Clone, Copy)]
pub struct Cursor {
    at: *const u8,
    left: usize,
}

/// A text in the plan: bytes, with a NUL after them.
#[derive(Clone, Copy)]
pub struct Text {
    /// The first byte.
    pub at: *const u8,
    /// Bytes before the NUL.
    pub length: usize,
}

impl Cursor {
    fn take(&mut self, length: usize) -> Result<*const u8, Errno> {
        if length > self.left {
            return Err(EBADMSG);
        }
        let at = self.at;
        // SAFETY: `length` bytes are left, so the new place is at most one past the end.
        self.at = unsafe { at.add(length) };
        self.left -= length;
        Ok(at)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Result<u16, Errno> {
        let at = self.take(2)?;
        // SAFETY: `take` vouches for two bytes.
        Ok(u16::from_le_bytes(unsafe { core::ptr::read_unaligned(at.cast()) }))
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32, Errno> {
        let at = self.take(4)?;
        // SAFETY: `take` vouches for four bytes.
        Ok(u32::from_le_bytes(unsafe { core::ptr::read_unaligned(at.cast()) }))
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64, Errno> {
        let at = self.take(8)?;
        // SAFETY: `take` vouches for eight bytes.
        Ok(u64::from_le_bytes(unsafe { core::ptr::read_unaligned(at.cast()) }))
    }

    /// The next text, whose NUL was checked.
    pub fn text(&mut self) -> Result<Text, Errno> {
        let length = self.u32()? as usize;
        let at = self.take(length)?;
        let end = self.take(1)?;
        // SAFETY: `take` vouches for the byte.
        if unsafe { *end } != 0 {
            return Err(EBADMSG);
        }
        Ok(Text { at, length })
    }

    /// The next `length` bytes as a cursor of their own.
    pub fn part(&mut self, length: usize) -> Result<Self, Errno> {
        let at = self.take(length)?;
        Ok(Self { at, left: length })
    }
}
