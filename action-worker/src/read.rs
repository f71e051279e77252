//! Reads a file, or a part of it.

use crate::{fault, place};
use cofferdam_bridge::action::{FileRead, FileReadResult};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// `O_NONBLOCK` of open(2): a FIFO that nobody writes to does not hold the worker up. The number is that of every architecture that we run on.
const DO_NOT_WAIT: i32 = 0o4000;

pub(crate) fn read(asked: &FileRead) -> Result<FileReadResult, BridgeError> {
    let failed = |error| fault::of("reading", &asked.path, &error);
    if asked.length > FileRead::LONGEST {
        return Err(fault::invalid(format!("at most {} bytes are read at once; ask for parts", FileRead::LONGEST)));
    }
    let mut file = OpenOptions::new().read(true).custom_flags(DO_NOT_WAIT).open(&asked.path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        let code = if facts.is_dir() { ErrorCode::IsADirectory } else { ErrorCode::IoFailed };
        let message = format!("`{}` is no regular file; only such are read", asked.path);
        return Err(BridgeError::new(code, message).with("path", asked.path.as_str()));
    }
    file.seek(SeekFrom::Start(asked.offset)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(asked.length).read_to_end(&mut bytes).map_err(failed)?;
    Ok(FileReadResult::new(facts.len(), asked.offset, bytes, place::mode(&facts), place::modified_ms(&facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::action::Bytes;

    #[test]
    fn a_part_of_a_file_and_bytes_that_are_no_text() {
        let path = std::env::temp_dir().join(format!("cofferdam-read-{}", std::process::id()));
        std::fs::write(&path, b"ab\xffcd").unwrap();
        let mut asked = FileRead::new(path.to_str().unwrap());
        assert_eq!(read(&asked).unwrap().contents, Bytes::Base64("YWL/Y2Q=".to_owned()));
        (asked.offset, asked.length) = (3, 1);
        let part = read(&asked).unwrap();
        assert_eq!((part.contents, part.size, part.complete), (Bytes::Text("c".to_owned()), 5, false));
        asked.offset = 90;
        assert_eq!(read(&asked).unwrap().length, 0);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&asked).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(read(&FileRead::new("/")).unwrap_err().code, ErrorCode::IsADirectory);
    }
}
