//! What is known of a file: its kind, permission bits and time.

use cofferdam_bridge::filesystem::FileKind;
use std::fs::{FileType, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// What stands there.
pub(crate) fn kind(kind: FileType) -> FileKind {
    match kind {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_symlink() => FileKind::SymbolicLink,
        _ => FileKind::Other,
    }
}

/// Permission bits.
pub(crate) fn mode(facts: &Metadata) -> u32 {
    facts.permissions().mode() & 0o7777
}

/// When it was last changed, in milliseconds since 1970.
pub(crate) fn modified_ms(facts: &Metadata) -> i64 {
    facts.mtime().saturating_mul(1000).saturating_add(facts.mtime_nsec() / 1_000_000)
}
