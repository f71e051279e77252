//! Interactive programs on a terminal of their own, driven through a real one.

use cofferdam_tests::command::binary;
use cofferdam_tests::pseudo_terminal;
use cofferdam_tests::scratch::Scratch;

fn drive(steps: &str, program: &[&str]) -> Option<String> {
    let scratch = Scratch::new();
    let (binary, place) = (binary().display().to_string(), scratch.path().display().to_string());
    let run = [&binary, "run", "--workspace", &place, "--env", "PS1=prompt> ", "--"];
    pseudo_terminal::drive(&scratch, steps, &[&run, program].concat())
}

#[test]
fn bash_is_interactive_with_job_control_and_ctrl_c() {
    // Ctrl-C is typed when the program says that it runs: before that the foreground still belongs to the shell.
    let steps = r#"[
        (b'prompt> ', b'tty; echo $((6*7))\n'), (b'42\r\n', b''),
        (b'prompt> ', b"sh -c 'echo up-$((3*3)); exec sleep 100'\n"), (b'up-9', b'\x03'),
        (b'prompt> ', b'echo after-$((1+1))\n'), (b'after-2', b''), (b'prompt> ', b'exit 9\n'),
    ]"#;
    let Some(seen) = drive(steps, &["bash", "--norc", "-i"]) else { return };
    assert_eq!(seen, "finished 9\n");
}

#[test]
fn the_window_s_size_arrives_and_follows() {
    let steps = r#"[
        (b'prompt> ', b'stty size\n'), (b'33 77\r\n', b''), (b'prompt> ', (20, 60)),
        (b'', b'until [ "$(stty size)" = "20 60" ]; do sleep 0.01; done; echo sized-$((1+1))\n'), (b'sized-2', b'exit 0\n'),
    ]"#;
    let Some(seen) = drive(steps, &["bash", "--norc", "-i"]) else { return };
    assert_eq!(seen, "finished 0\n");
}
