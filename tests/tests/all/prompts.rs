//! What the policy says to ask, asked while a program runs: the call waits, the sandbox goes on, and the host's word is what happens.

use cofferdam_bridge::prompt::{PromptAccess, PromptAnswer};
use cofferdam_tests::prompted::{Prompted, tells_refusal};
use std::time::{Duration, Instant};

#[test]
fn a_yes_for_once_changes_what_was_asked_about_and_the_next_is_asked_again() {
    let host = Prompted::before_writing();
    let (output, asked) = host
        .answered("echo new > $P/asked/file && cat $P/asked/file && echo more >> $P/asked/file", PromptAnswer::once());
    assert!(output.success(), "{output:?} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "new\n");
    assert_eq!(host.text("asked/file").as_deref(), Some("new\nmore\n"));
    let file = host.path("asked/file").to_string_lossy().into_owned();
    // Once to change it, once to read it, since nothing else lets it be read, and once to change it again.
    assert_eq!(asked, [file.clone(), file.clone(), file]);
}

#[test]
fn a_no_changes_nothing_is_told_with_what_to_write_and_is_not_asked_again() {
    let host = Prompted::before_writing();
    let script = "for i in 1 2 3; do echo new > $P/asked/file && exit 9; done; rm -f $P/asked/file; mkdir $P/asked/folder; echo own > own";
    let (output, asked) = host.answered(script, PromptAnswer::Deny);
    assert!(output.success(), "{output:?}");
    assert_eq!((host.text("asked/file").as_deref(), host.text("work/own").as_deref()), (Some("old"), Some("own\n")));
    assert!(!host.place.join("asked/folder").exists());
    let file = host.path("asked/file").to_string_lossy().into_owned();
    assert!(tells_refusal(&output.report, "filesystem.write", &file), "{:?}", output.report.denials);
    let denial = output.report.denials.iter().find(|one| one.subject == file).unwrap();
    assert_eq!(denial.remedy, Some(format!("filesystem.write = [\"{file}\"]")));
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn other_calls_of_the_sandbox_go_on_while_one_waits() {
    let host = Prompted::before_writing();
    // The second file is made by a brokered call while the first one waits.
    let script = "(echo new > $P/asked/file; echo $? > first) & mkdir folder && echo made > folder/second; wait";
    let output = host.run(script, |host| {
        let (prompt, reply) = host.question();
        assert_eq!(prompt.question.access, PromptAccess::Write);
        let end = Instant::now() + Duration::from_secs(30);
        while host.text("work/folder/second").is_none_or(|text| text != "made\n") {
            assert!(Instant::now() < end, "the sandbox stands still");
            std::thread::yield_now();
        }
        assert_eq!((host.text("asked/file").as_deref(), host.text("work/first")), (Some("old"), None));
        reply.answer(PromptAnswer::once()).unwrap();
    });
    assert!(output.success(), "{output:?}");
    assert_eq!((host.text("asked/file").as_deref(), host.text("work/first").as_deref()), (Some("new\n"), Some("0\n")));
}

#[test]
fn names_are_made_moved_and_removed_after_a_yes_and_protected_ones_are_not_asked_about() {
    let host = Prompted::before_writing();
    let script = "cd $P/asked && mkdir one && echo 1 > one/file && mv one two && mv two/file two/moved && ln -s moved two/link \
        && chmod 600 two/moved && rm file && mkdir .git .git/hooks; cat two/link";
    let (output, _) = host.answered(script, PromptAnswer::session());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(host.text("asked/two/moved").as_deref(), Some("1\n"));
    assert!(!host.place.join("asked/file").exists() && !host.place.join("asked/one").exists());
    let (output, asked) = host.answered("echo x > $P/asked/.envrc", PromptAnswer::session());
    assert!(!output.success() && !host.place.join("asked/.envrc").exists());
    assert_eq!(asked, Vec::<String>::new());
}

#[test]
fn an_answer_for_the_session_holds_for_later_runs_until_it_is_revoked() {
    let host = Prompted::before_writing();
    let write = "echo new >> $P/asked/file";
    assert_eq!(host.answered(write, PromptAnswer::session()).1.len(), 1);
    assert_eq!(host.answered(write, PromptAnswer::Deny).1.len(), 0);
    assert_eq!(host.text("asked/file").as_deref(), Some("oldnew\nnew\n"));
    let grants = host.vm.grants();
    assert_eq!(grants.len(), 1);
    assert!(host.vm.revoke(&grants[0].id));
    let (output, asked) = host.answered(write, PromptAnswer::Deny);
    assert!(!output.success() && asked.len() == 1);
    assert_eq!(host.text("asked/file").as_deref(), Some("oldnew\nnew\n"));
}

#[test]
fn what_may_be_read_when_asked_shows_nothing_before() {
    let host = Prompted::new("[prompt]\nfilesystem.read = [\"{place}/asked\"]\n");
    let (output, asked) = host.answered("cat $P/asked/file", PromptAnswer::Deny);
    assert!(!output.success() && output.stdout.is_empty() && asked.len() == 1, "{output:?} {asked:?}");
    let (output, asked) = host.answered("cat $P/asked/file; echo x > $P/asked/file", PromptAnswer::once());
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), asked.len()), ("old", 1));
    assert_eq!(host.text("asked/file").as_deref(), Some("old"));
}

#[test]
fn a_run_that_ends_takes_its_questions_with_it() {
    let host = Prompted::before_writing();
    let output = host.run("echo new > $P/asked/file & sleep 0.2; kill -9 $!; wait; echo ended", |host| {
        let (_, reply) = host.question();
        let end = Instant::now() + Duration::from_secs(30);
        while reply.is_wanted() {
            assert!(Instant::now() < end, "a question outlives whoever asked");
            std::thread::yield_now();
        }
        assert!(reply.answer(PromptAnswer::always()).is_err());
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ended\n");
    assert_eq!(host.text("asked/file").as_deref(), Some("old"));
}

#[test]
fn a_program_that_is_asked_about_starts_after_a_yes_and_no_other_way() {
    let host =
        Prompted::new("[filesystem]\nread = [\"{place}/tools\"]\n[prompt]\ncommands = [\"{place}/tools/tool\"]\n");
    // From within nobody is asked: what runs may not start it.
    let (output, asked) = host.answered("$P/tools/tool && echo started", PromptAnswer::session());
    assert!(output.stdout.is_empty() && asked.is_empty(), "{output:?} {asked:?}");
    for (answer, starts) in [(PromptAnswer::Deny, false), (PromptAnswer::once(), true)] {
        let (outcome, asked) = host.start("tool", answer);
        assert_eq!((outcome.is_ok(), asked), (starts, 1), "{outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.code().as_str(), "denied_by_policy");
            assert!(error.denial().unwrap().note.is_some(), "{error:?}");
        }
    }
}

#[test]
fn where_nobody_can_be_asked_it_is_a_no_at_once() {
    let host = Prompted::before_writing();
    let kernel =
        cofferdam_kernel::Kernel::builder(cofferdam_sandbox_linux::LinuxPlane::new().unwrap()).build().unwrap();
    let text = format!(
        "version = 1\nextends = \"dev\"\n[isolation]\nrequire = \"landlock\"\n[prompt]\nfilesystem.write = [\"{}\"]\n",
        host.path("asked").display()
    );
    let policy = cofferdam_kernel::policy::Policy::parse(&text, "test", &cofferdam_kernel::policy::NoFiles).unwrap();
    let spec = cofferdam_kernel::VmSpec::new(policy).workspace(host.path("work").to_string_lossy());
    let vm = kernel.create_vm(spec).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let file = host.path("asked/file").to_string_lossy().into_owned();
    let output = runtime.block_on(vm.command("/bin/sh").args(["-c", "echo x > $0", &file]).output()).unwrap();
    assert!(!output.success() && tells_refusal(&output.report, "filesystem.write", &file), "{output:?}");
    assert_eq!(host.text("asked/file").as_deref(), Some("old"));
}
