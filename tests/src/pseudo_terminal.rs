//! Commands on a real terminal, driven step by step.

use crate::command::{audit_place, text};
use crate::scratch::Scratch;
use crate::skip;
use std::process::Command;

/// Starts a command on a pseudo-terminal; pairs of what to wait for and what to type then. In place of that, a tuple is a size for the terminal,
/// and a dictionary a `signal` for the process whose number stands in the file `of`, whose end is waited for with `unread`, when nothing is read
/// until then.
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
    elif isinstance(send, dict):
        other = int(open(send['of']).read()); os.kill(other, send['signal'])
        while send.get('unread') and time.time() < end and os.path.exists('/proc/%d' % other): time.sleep(0.02)
        if send.get('unread') and os.path.exists('/proc/%d' % other): break
    else:
        os.write(master, send)
else:
    while time.time() < end and read(): pass
    _, status = os.waitpid(pid, 0)
    print('finished', os.waitstatus_to_exitcode(status)); sys.exit(0)
print('stuck', wait, seen); os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
"#;

/// Drives `command` in `scratch`: each step of the Python list waits for a text and types another. Answers `finished CODE`, or what
/// was waited for in vain; none where the test is skipped.
///
/// # Panics
/// When Python cannot be started.
#[expect(clippy::expect_used, reason = "a test without its driver must fail loudly")]
pub fn drive(scratch: &Scratch, steps: &str, command: &[&str]) -> Option<String> {
    let python = skip::program("python3")?;
    let mut driver = Command::new(python);
    driver.env("COFFERDAM_AUDIT", audit_place());
    driver.args(["-c", DRIVER, steps]).args(command).current_dir(scratch.path());
    Some(text(&driver.output().expect("the driver starts").stdout))
}
