//! Interactive programs on a terminal of their own, driven through a real one.

use cofferdam_tests::command::{binary, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::process::Command;

/// Drives `cofferdam run` on a pseudo-terminal: pairs of what to wait for and what to type then.
const DRIVER: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
steps = eval(sys.argv[1]); command = sys.argv[2:]
pid, master = pty.fork()
if pid == 0:
    os.execv(command[0], command)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
seen = b''
end = time.time() + 20
def read():
    global seen
    if select.select([master], [], [], 0.05)[0]:
        try: data = os.read(master, 65536)
        except OSError: return False
        seen += data
        return bool(data)
    return True
for wait, send in steps:
    while wait not in seen and time.time() < end and read(): pass
    if wait not in seen: break
    seen = seen[seen.index(wait) + len(wait):]
    if isinstance(send, tuple):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', *send, 0, 0)); os.kill(pid, signal.SIGWINCH)
    else:
        os.write(master, send)
else:
    while time.time() < end and read(): pass
    _, status = os.waitpid(pid, 0)
    print('finished', os.waitstatus_to_exitcode(status)); sys.exit(0)
print('stuck', wait, seen); os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
"#;

fn drive(steps: &str, program: &[&str]) -> Option<String> {
    skip::program("python3")?;
    let scratch = Scratch::new();
    let mut command = Command::new("python3");
    command.args(["-c", DRIVER, steps]).arg(binary()).arg("run").arg("--workspace").arg(scratch.path());
    command.args(["--env", "PS1=prompt> ", "--"]).args(program).current_dir(scratch.path());
    let output = command.output().unwrap();
    Some(text(&output.stdout))
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
