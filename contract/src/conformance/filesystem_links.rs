//! Links, and what must not lead out.

use super::check::Suite;
use super::files::Files;
use super::filesystem::{Why, each, fails, is};
use cofferdam_bridge::call::{CallContext, CancelFlag};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::{FileKind, FilesystemBridge};

pub(super) fn links<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const LOOP: &[ErrorCode] = &[ErrorCode::TooManySymbolicLinks];
    each(
        suite,
        files,
        &[
            ("symlink_read", "a symbolic link is followed", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("a", &format!("{d}/l"))?;
                is(f.read(&format!("{d}/l"))?, b"x".to_vec())
            }),
            ("symlink_lstat", "and told of as itself", |f, d| {
                f.symlink("nowhere", &format!("{d}/l"))?;
                is(f.lstat(&format!("{d}/l"))?.kind, FileKind::SymbolicLink)
            }),
            ("symlink_target", "its target is as it was written", |f, d| {
                f.symlink("../some//where", &format!("{d}/l"))?;
                is(f.target(&format!("{d}/l"))?, "../some//where".to_owned())
            }),
            ("symlink_dangling", "one that leads nowhere is not there for readers", |f, d| {
                f.symlink("nowhere", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), &[ErrorCode::NotFound])?;
                is(f.exists(&format!("{d}/l"))?, false)
            }),
            ("symlink_loop", "links that lead to each other are given up", |f, d| {
                f.symlink("b", &format!("{d}/a"))?;
                f.symlink("a", &format!("{d}/b"))?;
                fails(f.read(&format!("{d}/a")), LOOP)
            }),
            ("symlink_long_chain", "so are more than forty in a row", |f, d| {
                f.write(&format!("{d}/l0"), b"x")?;
                for number in 0..41 {
                    f.symlink(&format!("l{number}"), &format!("{d}/l{}", number + 1))?;
                }
                is(f.read(&format!("{d}/l8"))?, b"x".to_vec())?;
                fails(f.read(&format!("{d}/l41")), LOOP)
            }),
            ("symlink_over", "a link does not replace what is there", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                fails(f.symlink("b", &format!("{d}/a")), &[ErrorCode::AlreadyExists])
            }),
            ("symlink_remove", "removing a link leaves its target", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("a", &format!("{d}/l"))?;
                f.remove(&format!("{d}/l"))?;
                is(f.read(&format!("{d}/a"))?, b"x".to_vec())
            }),
            ("read_link_of_file", "a file is no link", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                is(f.target(&format!("{d}/a")).is_err(), true)
            }),
            ("hard_link", "a hard link is the same file", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.link(&format!("{d}/a"), &format!("{d}/b"))?;
                f.append(&format!("{d}/a"), b"y")?;
                is((f.read(&format!("{d}/b"))?, f.stat(&format!("{d}/b"))?.links), (b"xy".to_vec(), 2))
            }),
            ("hard_link_over", "it does not replace what is there", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.write(&format!("{d}/b"), b"y")?;
                fails(f.link(&format!("{d}/a"), &format!("{d}/b")), &[ErrorCode::AlreadyExists])
            }),
            ("canonical", "links and dots are gone from the canonical path", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                f.symlink("a", &format!("{d}/l"))?;
                is(f.canonical(&format!("{d}/./l/../l"))?, format!("{d}/a"))
            }),
            ("canonical_missing", "what is not there is kept as it is", |f, d| {
                f.symlink(d, &format!("{d}/l"))?;
                is(f.canonical(&format!("{d}/l/no/more"))?, format!("{d}/no/more"))
            }),
        ],
    );
}

pub(super) fn edges<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const OUT: &[ErrorCode] =
        &[ErrorCode::NotFound, ErrorCode::PathInvalid, ErrorCode::DeniedByPolicy, ErrorCode::NotADirectory];
    each(
        suite,
        files,
        &[
            ("relative", "a path that is not absolute leads nowhere outside", |f, _| {
                fails(f.read("../../../../../../../etc/hostname"), OUT)
            }),
            ("nul", "so is one with a NUL byte", |f, d| {
                fails(f.read(&format!("{d}/a\0b")), &[ErrorCode::PathInvalid, ErrorCode::RequestInvalid])
            }),
            ("empty_path", "and an empty one", |f, _| {
                fails(f.read(""), &[ErrorCode::PathInvalid, ErrorCode::RequestInvalid])
            }),
            ("above_the_root", "above the root is the root", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                is(f.read(&format!("/../../..{d}/a"))?, b"x".to_vec())
            }),
            ("out_by_dots", "`..` leads nowhere outside", |f, d| {
                fails(f.read(&format!("{d}/../../../../../../../etc/hostname")), OUT)
            }),
            ("out_by_symlink", "an absolute link leads nowhere outside", |f, d| {
                f.symlink("/etc/hostname", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), OUT)
            }),
            ("out_by_relative_symlink", "nor does a relative one", |f, d| {
                f.symlink("../../../../../../../../etc/hostname", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), OUT)
            }),
            ("out_by_rename", "nor a link that is renamed over what was read", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("/etc/hostname", &format!("{d}/l"))?;
                f.rename(&format!("{d}/l"), &format!("{d}/a"))?;
                fails(f.read(&format!("{d}/a")), OUT)
            }),
            ("cancelled", "a call that is not wanted any more is given up, or answered right", |f, d| {
                let flag = CancelFlag::new();
                flag.cancel();
                let call = CallContext::unbounded().cancelled_by(flag);
                f.write(&format!("{d}/a"), b"x")?;
                match f.call(f.bridge.read_file(&call, f.path(&format!("{d}/a")))) {
                    // What is done at once may be answered.
                    Ok(bytes) => is(bytes, b"x".to_vec()),
                    refused => fails(refused, &[ErrorCode::Cancelled]),
                }
            }),
            ("error_words", "an error says what to do in words, and holds no contents", |f, d| {
                f.write(&format!("{d}/a"), b"secret contents")?;
                match f.read(&format!("{d}/a/b")) {
                    Err(error) if error.message.len() > 10 && !error.message.contains("secret contents") => Ok(()),
                    Err(error) => Err(Why::Not(format!("it says {:?}", error.message))),
                    Ok(_) => Err(Why::Not("it succeeded".to_owned())),
                }
            }),
        ],
    );
}
