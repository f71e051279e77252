//! Reads the plan where it lies.

use crate::ahead;
use crate::format::{PLAN_FD, step};
use crate::raw_call::{call, nr};
use crate::report::{Failure, part};

const EBADMSG: i32 = 74;
const SEEK_END: usize = 2;
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;

/// Pointers that tables of arguments and variables have room for without a mapping of their own.
const ROOM: usize = 1024;
static mut TABLES: [*const u8; ROOM] = [core::ptr::null(); ROOM];

/// A place in the plan.
pub struct Cursor {
    start: *const u8,
    length: usize,
    at: usize,
    /// Whether it is in our own memory, and not in a mapping.
    sent: bool,
    /// Pointers of the room that are taken.
    taken: usize,
}

impl Cursor {
    /// The plan that was sent, of so many bytes, or the file's, mapped into memory.
    pub fn open(sent: Option<usize>) -> Result<Self, Failure> {
        if let Some(length) = sent {
            return Ok(Self { start: ahead::sent(), length, at: 0, sent: true, taken: 0 });
        }
        // SAFETY: integers only; a fresh mapping touches nothing that is there.
        unsafe {
            let length = part(call!(nr::LSEEK, PLAN_FD, 0, SEEK_END), step::PLAN)?;
            let call = call!(nr::MMAP, 0, length, PROT_READ, MAP_PRIVATE, PLAN_FD);
            let start = part(call, step::PLAN)? as *const u8;
            call!(nr::CLOSE, PLAN_FD);
            Ok(Self { start, length, at: 0, sent: false, taken: 0 })
        }
    }

    /// Gives the memory back, or wipes it: it holds the environment, which is nobody's business any more.
    pub fn close(self) {
        if !self.sent {
            // SAFETY: the mapping is ours, and nothing borrowed from it is used again.
            unsafe { call!(nr::MUNMAP, self.start, self.length) };
            return;
        }
        for at in 0..self.length {
            // SAFETY: within the buffer that the message came into, which nothing else uses again; no one reads it either, so the write
            // must be one that is not left out.
            unsafe { core::ptr::write_volatile(ahead::sent().add(at), 0) };
        }
    }

    fn take(&mut self, bytes: usize) -> Result<*const u8, Failure> {
        let end = self.at.checked_add(bytes).filter(|end| *end <= self.length);
        let Some(end) = end else { return Err(Failure { step: step::PLAN, errno: EBADMSG }) };
        // SAFETY: within the mapping, checked above.
        let at = unsafe { self.start.add(self.at) };
        self.at = end;
        Ok(at)
    }

    /// The next number.
    pub fn u32(&mut self) -> Result<u32, Failure> {
        let at = self.take(4)?;
        // SAFETY: four bytes are there; they need not be aligned.
        Ok(unsafe { at.cast::<u32>().read_unaligned() })
    }

    /// The next long number.
    pub fn u64(&mut self) -> Result<u64, Failure> {
        let at = self.take(8)?;
        // SAFETY: eight bytes are there; they need not be aligned.
        Ok(unsafe { at.cast::<u64>().read_unaligned() })
    }

    /// The next text, which ends with NUL.
    pub fn text(&mut self) -> Result<*const u8, Failure> {
        let length = self.u32()? as usize;
        self.take(length.saturating_add(1))
    }

    /// The next texts as a table that ends with null, as execve(2) takes it.
    pub fn texts(&mut self) -> Result<*const *const u8, Failure> {
        let count = self.u32()? as usize;
        let table = self.table(count + 1)?;
        for at in 0..count {
            let text = self.text()?;
            // SAFETY: the table has room for count + 1; memory that was not used before is zero, so null stands at its end.
            unsafe { table.add(at).write(text) };
        }
        Ok(table.cast_const())
    }

    /// Room for so many pointers, all null.
    fn table(&mut self, pointers: usize) -> Result<*mut *const u8, Failure> {
        if pointers <= ROOM - self.taken {
            // SAFETY: within the room, whose part from here on nobody has used.
            let table = unsafe { (&raw mut TABLES).cast::<*const u8>().add(self.taken) };
            self.taken += pointers;
            return Ok(table);
        }
        let bytes = pointers * size_of::<*const u8>();
        // SAFETY: a fresh mapping touches nothing that is there.
        let call =
            unsafe { call!(nr::MMAP, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, usize::MAX) };
        Ok(part(call, step::PLAN)? as *mut *const u8)
    }
}
