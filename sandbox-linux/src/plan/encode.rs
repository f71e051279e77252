//! Writes plans in the launcher's format.

use crate::format::{HEADER_LENGTH, MAGIC, MAX_PLAN, op};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;

/// Operations in the order in which the launcher executes them, each with what it is about.
///
/// The subjects (a path, mostly) stay on this side: they tell a person which operation failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    operations: Vec<u8>,
    subjects: Vec<String>,
}

/// One operation being written.
pub(crate) struct Operation<'a> {
    bytes: &'a mut Vec<u8>,
    length_at: usize,
}

impl Plan {
    /// Adds an operation about `subject`; its body is written by the returned value's methods.
    pub(crate) fn add(&mut self, code: u32, subject: impl Into<String>) -> Operation<'_> {
        self.subjects.push(subject.into());
        self.operations.extend_from_slice(&code.to_le_bytes());
        let length_at = self.operations.len();
        self.operations.extend_from_slice(&0_u32.to_le_bytes());
        Operation { bytes: &mut self.operations, length_at }
    }

    /// What operation `index` is about.
    pub(crate) fn subject(&self, index: u32) -> Option<&str> {
        self.subjects.get(usize::try_from(index).ok()?).map(String::as_str)
    }

    /// Appends another plan's operations.
    pub(crate) fn append(&mut self, other: &Self) {
        self.operations.extend_from_slice(&other.operations);
        self.subjects.extend_from_slice(&other.subjects);
    }

    /// The whole message: header and operations.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, BridgeError> {
        let too_large = || {
            BridgeError::new(
                ErrorCode::SandboxSetupFailed,
                "policy, arguments and environment are too large together for a start; use fewer rules or shorter arguments",
            )
            .with("limit_bytes", MAX_PLAN)
        };
        if self.operations.len() > MAX_PLAN {
            return Err(too_large());
        }
        let length = u32::try_from(self.operations.len()).map_err(|_| too_large())?;
        let count = u32::try_from(self.subjects.len()).map_err(|_| too_large())?;
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + self.operations.len());
        for word in [MAGIC, length, count, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.operations);
        Ok(bytes)
    }
}

impl Operation<'_> {
    fn put(self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Writes two bytes.
    pub(crate) fn u16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// Writes four bytes.
    pub(crate) fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// Writes eight bytes.
    pub(crate) fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// Writes a text with its length before and a NUL after it.
    pub(crate) fn text(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        // A text longer than a plan may be is caught when the plan is encoded.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.put(&length.to_le_bytes()).put(text).put(&[0])
    }

    /// Writes a count and that many texts.
    pub(crate) fn texts(self, texts: &[Vec<u8>]) -> Self {
        let count = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        texts.iter().fold(self.u32(count), |operation, text| operation.text(text))
    }
}

/// An operation knows its length when it is finished.
impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let body = self.bytes.len().saturating_sub(self.length_at + 4);
        let length = u32::try_from(body).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(self.length_at..self.length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// The name of an operation, as it stands in errors.
pub(crate) fn step_name(code: u32) -> &'static str {
    match code {
        op::WRITE_FILE => "id_map",
        op::LOOPBACK_UP => "loopback",
        op::NETWORK => "network",
        op::HOST_NAME => "host_name",
        op::NEW_ROOT => "new_root",
        op::DIRECTORY | op::FILE | op::CONTENTS | op::SYMLINK | op::REMOVE => "skeleton",
        op::BIND => "bind",
        op::MOUNT => "mount",
        op::OVERLAY => "overlay",
        op::ENTER_ROOT => "enter_root",
        op::HOLD => "hold",
        op::CHANGE_DIRECTORY => "working_directory",
        op::RLIMIT => "rlimit",
        op::UMASK => "umask",
        op::LANDLOCK_BEGIN | op::LANDLOCK_PATH | op::LANDLOCK_PORT | op::LANDLOCK_ENFORCE => "landlock",
        op::DROP_PRIVILEGES => "drop_privileges",
        op::PROVE => "proof",
        op::SECCOMP | op::PROGRAM_FILTER => "seccomp",
        op::GUARD => "guard",
        op::TERMINAL => "terminal",
        op::REMOVE_AFTERWARDS => "remove_afterwards",
        op::NEXT_PLAN => "next_plan",
        op::ACCOUNT => "accounts",
        op::READY => "ready",
        op::JOIN_CGROUPS => "cgroup",
        op::RUN => "run",
        _ => "plan",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_code_length_body() {
        let mut plan = Plan::default();
        plan.add(op::DIRECTORY, "usr").text("usr").u32(0o755);
        let bytes = plan.encode().unwrap();
        assert_eq!(bytes[0..4], MAGIC.to_le_bytes());
        assert_eq!(bytes[8..12], 1_u32.to_le_bytes());
        assert_eq!(bytes[16..20], op::DIRECTORY.to_le_bytes());
        assert_eq!(bytes[20..24], 12_u32.to_le_bytes());
        assert_eq!(&bytes[28..32], b"usr\0");
    }
}
