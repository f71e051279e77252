//! What is held, what is judged, and what is told.

use super::*;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("cofferdam-held-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    folder.canonicalize().unwrap()
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn anything(_: &Path) -> Result<(), BridgeError> {
    Ok(())
}

fn code(path: &Path) -> ErrorCode {
    HeldProgram::open(path, &anything).unwrap_err().code
}

#[test]
fn x2_every_interpreter_is_judged_by_where_its_path_leads() {
    let folder = folder("judged");
    program(&folder.join("inner"), "#!/bin/sh -e\n");
    symlink(folder.join("inner"), folder.join("link")).unwrap();
    program(&folder.join("outer"), &format!("#!{} -x y\n", folder.join("link").display()));
    let seen = RefCell::new(Vec::new());
    let judge = |path: &Path| {
        seen.borrow_mut().push(path.to_owned());
        Ok(())
    };
    let held = HeldProgram::open(&folder.join("outer"), &judge).unwrap();
    let shell = Path::new("/bin/sh").canonicalize().unwrap();
    assert_eq!(*seen.borrow(), [folder.join("outer"), folder.join("inner"), shell.clone()]);
    assert_eq!(held.binary.path, shell);
    // As the kernel would have put them, but for the paths of the scripts.
    let arguments = held.arguments("outer".to_owned(), vec!["a".to_owned()], 7);
    let link = folder.join("link").display().to_string();
    assert_eq!(
        arguments,
        ["/bin/sh", "-e", "/dev/fd/8", "-x y", "/dev/fd/7", "a"],
        "{link} is replaced by its descriptor"
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn x2_policy_is_asked_about_the_end_of_links_whether_it_is_there_or_not() {
    let folder = folder("asked");
    fs::create_dir(folder.join("outside")).unwrap();
    program(&folder.join("outside/there"), "#!/bin/sh\n");
    for (link, target) in [("there", "outside/there"), ("absent", "outside/absent"), ("deep", "outside/a/../b")] {
        symlink(target, folder.join(link)).unwrap();
    }
    symlink("loop", folder.join("loop")).unwrap();
    let refuse = |path: &Path| match path.starts_with(folder.join("outside")) {
        true => Err(BridgeError::new(ErrorCode::DeniedByPolicy, "outside")),
        false => Ok(()),
    };
    for link in ["there", "absent", "deep"] {
        let error = HeldProgram::open(&folder.join(link), &refuse).unwrap_err();
        assert_eq!(error, BridgeError::new(ErrorCode::DeniedByPolicy, "outside"), "{link}");
    }
    for link in ["loop", "missing", "missing/../there/x"] {
        let error = HeldProgram::open(&folder.join(link), &refuse).unwrap_err();
        let expected = if link.contains("there") { ErrorCode::DeniedByPolicy } else { ErrorCode::ProgramNotFound };
        assert_eq!(error.code, expected, "{link}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn x2_what_cannot_be_executed_is_told_apart_from_what_is_not_there() {
    let folder = folder("apart");
    fs::write(folder.join("plain"), "#!/bin/sh\n").unwrap();
    program(&folder.join("no-interpreter"), "#!/no/such/interpreter\n");
    program(&folder.join("relative"), "#!sh\n");
    program(&folder.join("empty-line"), "#!\n");
    program(&folder.join("circle"), &format!("#!{}\n", folder.join("circle").display()));
    assert_eq!(code(&folder.join("plain")), ErrorCode::ProgramNotExecutable);
    assert_eq!(code(&folder), ErrorCode::ProgramNotExecutable);
    assert_eq!(code(Path::new("/dev/null")), ErrorCode::ProgramNotExecutable);
    assert_eq!(code(&folder.join("missing")), ErrorCode::ProgramNotFound);
    assert_eq!(code(&folder.join("no-interpreter")), ErrorCode::ProgramNotFound);
    for name in ["relative", "empty-line", "circle"] {
        assert_eq!(code(&folder.join(name)), ErrorCode::ProgramNotExecutable, "{name}");
    }
    fs::remove_dir_all(folder).unwrap();
}
