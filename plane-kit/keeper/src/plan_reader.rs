//! Reads the plan where it lies.

use crate::format::{PLAN_FD, step};
use crate::raw_call::{call, nr};
use crate::report::{Failure, part};

const EBADMSG: i32 = 74;
const SEEK_END: usize = 2;
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;

/// A place in the plan.
pub struct Cursor {
    start: *const u8,
    length: usize,
    at: usize,
}

impl Cursor {
    /// Maps the plan into memory.
    pub fn open() -> Result<Self, Failure> {
        // SAFETY: integers only; a fresh mapping touches nothing that is there.
        unsafe {
            let length = part(call!(nr::LSEEK, PLAN_FD, 0, SEEK_END), step::PLAN)?;
            let call = call!(nr::MMAP, 0, length, PROT_READ, MAP_PRIVATE, PLAN_FD);
            let start = part(call, step::PLAN)? as *const u8;
            call!(nr::CLOSE, PLAN_FD);
            Ok(Self { start, length, at: 0 })
        }
    }

    /// Gives the memory back: it holds the environment, which is nobody's business any more.
    pub fn close(self) {
        // SAFETY: the mapping is ours, and nothing borrowed from it is used again.
        unsafe { call!(nr::MUNMAP, self.start, self.length) };
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
        let bytes = (count + 1) * size_of::<*const u8>();
        // SAFETY: a fresh mapping touches nothing that is there.
        let call =
            unsafe { call!(nr::MMAP, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, usize::MAX) };
        let table = part(call, step::PLAN)? as *mut *const u8;
        for at in 0..count {
            let text = self.text()?;
            // SAFETY: the table has room for count + 1; fresh memory is zero, so null stands at its end.
            unsafe { table.add(at).write(text) };
        }
        Ok(table.cast_const())
    }
}
