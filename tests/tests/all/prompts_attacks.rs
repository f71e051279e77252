//! Attacks on questions: what was approved is what happens, and nothing else.

use cofferdam_bridge::prompt::PromptAnswer;
use cofferdam_tests::prompted::{Prompted, tells_refusal};
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn fs_34_a_link_that_is_turned_while_the_host_is_asked_leads_nowhere_else() {
    let host = Prompted::before_writing();
    host.place.write("asked/harmless/file", "old");
    host.place.write("asked/target/file", "old");
    // Outside, the same exchange is followed.
    let outside = host.place.join("work/link");
    symlink(host.place.join("asked/harmless"), &outside).unwrap();
    fs::remove_file(&outside).unwrap();
    symlink(host.place.join("asked/target"), &outside).unwrap();
    fs::write(outside.join("file"), "old").unwrap();
    fs::remove_file(&outside).unwrap();

    let script = "ln -s $P/asked/harmless link; (echo attack > link/file) & until [ -e go ]; do sleep 0.01; done; \
        ln -sfn $P/asked/target link; echo turned > turned; wait $! && echo opened";
    let output = host.run(script, |host| {
        let (prompt, reply) = host.question();
        assert_eq!(prompt.question.subject, host.path("asked/harmless/file").to_string_lossy());
        host.place.write("work/go", "");
        while host.text("work/turned").is_none_or(|text| text.is_empty()) {
            std::thread::yield_now();
        }
        reply.answer(PromptAnswer::once()).unwrap();
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    for file in ["asked/harmless/file", "asked/target/file"] {
        assert_eq!(host.text(file).as_deref(), Some("old"), "{file}");
    }
    let target = host.path("asked/target/file").to_string_lossy().into_owned();
    assert!(tells_refusal(&output.report, "filesystem.write", &target), "{:?}", output.report.denials);
    assert!(host.further().is_none());
}

/// Exchanges something on the host while the question is up, answers yes, and tells what the guest said.
fn exchanged(host: &Prompted, script: &str, exchange: impl FnOnce()) -> String {
    let output = host.run(script, |host| {
        let (_, reply) = host.question();
        exchange();
        reply.answer(PromptAnswer::once()).unwrap();
    });
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn fs_34_a_file_or_a_directory_that_is_exchanged_while_the_host_is_asked_stays_as_it_is() {
    let host = Prompted::before_writing();
    let path = |name: &str| host.place.join(name);
    fs::write(path("asked/other"), "other").unwrap();
    let said = exchanged(&host, "echo attack > $P/asked/file && echo opened", || {
        fs::rename(path("asked/other"), path("asked/file")).unwrap();
    });
    assert_eq!((said.as_str(), host.text("asked/file").as_deref()), ("", Some("other")));

    fs::create_dir_all(path("asked/folder")).unwrap();
    fs::write(path("asked/folder/file"), "one").unwrap();
    let said = exchanged(&host, "echo attack > $P/asked/folder/file && echo opened", || {
        fs::rename(path("asked/folder"), path("asked/approved")).unwrap();
        fs::create_dir(path("asked/folder")).unwrap();
        fs::write(path("asked/folder/file"), "two").unwrap();
    });
    assert_eq!((said.as_str(), host.text("asked/folder/file").as_deref()), ("", Some("two")));
    assert_eq!(host.text("asked/approved/file").as_deref(), Some("one"));

    // A component that becomes a link to where nothing may be written.
    let elsewhere = path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "kept").unwrap();
    let said = exchanged(&host, "echo attack > $P/asked/folder/file && echo opened", || {
        fs::rename(path("asked/folder"), path("asked/away")).unwrap();
        symlink(&elsewhere, path("asked/folder")).unwrap();
    });
    assert_eq!((said.as_str(), host.text("elsewhere/file").as_deref()), ("", Some("kept")));
    assert_eq!(host.text("asked/away/file").as_deref(), Some("two"));

    // A name that was free gets an owner.
    let said = exchanged(&host, "echo attack > $P/asked/new && echo opened", || {
        fs::write(path("asked/new"), "theirs").unwrap();
    });
    assert_eq!((said.as_str(), host.text("asked/new").as_deref()), ("", Some("theirs")));
}

#[test]
fn what_was_handed_over_to_be_changed_opens_nothing_else_and_is_not_executed() {
    let Some(python) = skip::python() else { return };
    let Some(installed) = std::path::Path::new(&python).ancestors().nth(2).and_then(|path| path.to_str()) else {
        return;
    };
    let host = Prompted::new(&format!(
        "[filesystem]\nread = [\"{installed}\"]\n[commands]\nallow = [\"{installed}\"]\n[prompt]\nfilesystem.write = [\"{{place}}/asked/**\"]\n"
    ));
    host.place.write("asked/secret", "old");
    let script = r#"
import os, sys
place = os.environ['P'] + '/asked'
file = os.open(place + '/file', os.O_RDWR)
os.write(file, b'#!/bin/sh\necho executed\n')
def tried(what, call):
    try:
        call()
        print(what)
    except OSError:
        pass
tried('directory', lambda: os.open('..', os.O_RDONLY, dir_fd=file))
tried('again', lambda: os.write(os.open(place + '/secret', os.O_WRONLY), b'attack'))
tried('beside', lambda: os.open('/proc/self/fd/%d/../secret' % file, os.O_WRONLY))
read = os.open('/proc/self/fd/%d' % file, os.O_RDONLY)
os.fchmod(file, 0o755)
os.close(file)
sys.stdout.flush()
tried('fexecve', lambda: os.execve(read, ['x'], {}))
tried('execve', lambda: os.execve(place + '/file', ['x'], {}))
print('end')
"#;
    host.place.write("work/attack.py", script);
    // Yes to the file, with its mode, and no to what is around and beside it.
    let (output, asked) = host.answered_by(&format!("{python} attack.py"), |prompt| {
        if prompt.question.subject.ends_with("/file") { PromptAnswer::session() } else { PromptAnswer::Deny }
    });
    assert!(asked.iter().any(|subject| subject.ends_with("/secret")), "{asked:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "end\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(host.text("asked/secret").as_deref(), Some("old"));
    assert_eq!(host.text("asked/file").as_deref(), Some("#!/bin/sh\necho executed\n"));
}

#[test]
fn fs_34_what_moves_to_where_is_asked_keeps_no_name_that_nobody_is_asked_about() {
    let host = Prompted::before_writing();
    // Outside, the other names stay.
    let outside =
        "echo kept > f && ln f g && mv g $0/outside && echo attack > f && mkdir d && ln f d/x && mv d $0/outside-d";
    let asked = host.path("asked");
    let made =
        std::process::Command::new("sh").args(["-c", outside]).arg(&asked).current_dir(host.path("work")).status();
    assert!(made.unwrap().success());
    assert_eq!(host.text("asked/outside").as_deref(), Some("attack\n"));
    fs::remove_file(host.path("work/f")).unwrap();
    let script = "echo kept > f && ln f g && mv g $P/asked/new; echo attack > f; \
        mkdir d && echo kept > d/x && ln d/x y && mv d $P/asked/d; echo attack > y; \
        echo kept > h && ln h i && python3 -c 'import os; os.rename(\"i\", os.environ[\"P\"] + \"/asked/file\")'; echo attack > h; \
        echo alone > j && mv j $P/asked/moved";
    let (output, _) = host.answered(script, PromptAnswer::once());
    assert!(output.success(), "{output:?}");
    for file in ["asked/new", "asked/d/x"] {
        assert_eq!(host.text(file).as_deref(), Some("kept\n"), "{file}: {output:?}");
    }
    assert_eq!(host.text("asked/file").as_deref(), Some("old"));
    assert_eq!(host.text("asked/moved").as_deref(), Some("alone\n"));
}
