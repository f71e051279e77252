//! Job control: Ctrl-Z stops the program and the command with it, `fg` lets both go on, as for any other program.

use cofferdam_tests::command::binary;
use cofferdam_tests::pseudo_terminal;
use cofferdam_tests::scratch::Scratch;

/// Stops a run and lets it go on, at a host's shell.
#[track_caller]
fn assert_stops_and_goes_on(options: &str) {
    let scratch = Scratch::new();
    let (binary, place) = (binary().display().to_string(), scratch.path().display().to_string());
    scratch.write("program.sh", "echo up-$((3*3))\nwhile read line; do echo got-$line; done\necho end-$((2*2))\n");
    // Stopped twice, looked at from outside, and told a line after each.
    let steps = format!(
        r#"[
        (b'', b"PS1='host''> '\n"), (b'host> ', b'{binary} run --workspace {place} {options} -- sh program.sh\n'), (b'up-9', b'\x1a'),
        (b'host> ', b'jobs; ps -o stat= -C cofferdam | head -1; echo shell-$((1+1))\n'), (b'Stopped', b''),
        (b'shell-2', b''), (b'host> ', b'fg\n'), (b'program.sh', b'one\n'), (b'got-one', b'\x1a'),
        (b'host> ', b'bg; sleep 0.1; fg\n'), (b'program.sh', b'two\n'), (b'got-two', b'\x04'), (b'end-4', b''),
        (b'host> ', b'exit 3\n'),
    ]"#
    );
    let Some(seen) = pseudo_terminal::drive(&scratch, &steps, &["/bin/bash", "--norc", "-i"]) else { return };
    assert_eq!(seen, "finished 3\n");
}

#[test]
fn ctrl_z_and_fg_with_a_terminal_of_its_own() {
    assert_stops_and_goes_on("");
}

#[test]
fn ctrl_z_and_fg_with_the_host_s_streams() {
    assert_stops_and_goes_on("--no-tty");
}

#[test]
fn ctrl_z_and_fg_without_namespaces() {
    assert_stops_and_goes_on("--isolation landlock");
}
