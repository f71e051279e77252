//! Attacks as Python scripts of named attempts: made outside, where each must succeed, and in every tier, where each must fail.

use crate::command;
use crate::skip;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// A tier under attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Namespaces, Landlock and seccomp together.
    Full,
    /// No namespace can be made.
    Landlock,
}

/// Both: what holds must hold in each.
pub const TIERS: [Tier; 2] = [Tier::Full, Tier::Landlock];

impl Tier {
    /// `cofferdam run` with `options`, in `workspace`, of `program` and its arguments.
    pub fn run(self, workspace: &Path, options: &[&str], program: &[&str]) -> Command {
        match self {
            Self::Full => command::run(workspace, options, program),
            Self::Landlock => {
                let options: Vec<&str> = ["--isolation", "landlock"].iter().chain(options).copied().collect();
                command::run_without_namespaces(workspace, &options, program)
            }
        }
    }

    /// A shell line under `dev`, and what came of it as `--json` tells.
    pub fn shell(self, workspace: &Path, options: &[&str], line: &str) -> Value {
        self.json(workspace, options, &["sh", "-c", line])
    }

    /// What `--json` tells of a run.
    ///
    /// # Panics
    /// When it tells nothing.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test without its result must fail loudly")]
    pub fn json(self, workspace: &Path, options: &[&str], program: &[&str]) -> Value {
        let options: Vec<&str> = ["--json"].iter().chain(options).copied().collect();
        let output = self.run(workspace, &options, program).output().expect("cofferdam starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{self:?}: {error}: {output:?}"))
    }
}

/// What scripts begin with. `call` makes a system call by number; `attempt` prints the name of an attempt and what it answered: `ok`, or the
/// error's name. `apart` does so in a process of its own, `show` prints what an attempt saw.
const PRELUDE: &str = r"
import ctypes, errno, fcntl, mmap, os, resource, signal, socket, stat, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
keep = []
def pointer(value):
    if isinstance(value, str): value = os.fsencode(value)
    if isinstance(value, bytes): value = ctypes.create_string_buffer(value + b'\0')
    if isinstance(value, int): return ctypes.c_long(value)
    keep.append(value)
    return ctypes.c_long(ctypes.addressof(value))
def call(number, *arguments):
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long(number), *[pointer(one) for one in arguments])
    if answer < 0: raise OSError(ctypes.get_errno(), 'call')
    return answer
def attempt(name, act):
    try: act(); print(name, 'ok', flush=True)
    except OSError as error: print(name, errno.errorcode.get(error.errno, str(error)), flush=True)
    except Exception as error: print(name, repr(error).replace('\n', ' '), flush=True)
def apart(name, act):
    child = os.fork()
    if child == 0: attempt(name, act); os._exit(0)
    os.waitpid(child, 0)
def show(value): print('> ' + repr(value), flush=True)
def read(path):
    with open(path, 'rb') as file: return file.read(4096)
def write(path, text='changed'):
    with open(path, 'w') as file: file.write(text)
AT_FDCWD = -100
";

/// `way(host, port)` for scripts: a connection to it, as either tier gives one: straight, or through the proxy that the environment names.
pub const WAY: &str = r"
import base64
def proxied(proxy):
    user, _, place = proxy[len('http://'):].rpartition('@'); host, port = place.split(':')
    return socket.create_connection((host, int(port)), 20), 'Proxy-Authorization: Basic ' + base64.b64encode(user.encode()).decode()
def way(host, port):
    proxy = os.environ.get('ALL_PROXY')
    if not proxy: return socket.create_connection((host.strip('[]'), port), 20)
    s, own = proxied(proxy); s.sendall(('CONNECT %s:%d HTTP/1.1\r\n%s\r\n\r\n' % (host, port, own)).encode()); head = b''
    while not head.endswith(b'\r\n\r\n'):
        byte = s.recv(1)
        if not byte: raise ConnectionResetError(errno.ECONNRESET, 'ended')
        head += byte
    if b' 200 ' not in head.split(b'\r\n')[0]: raise ConnectionRefusedError(errno.ECONNREFUSED, 'refused')
    return s
def get(host, port):
    s = way(host, port); s.sendall(b'GET / HTTP/1.0\r\nHost: x\r\n\r\n'); answer = b''
    while part := s.recv(4096): answer += part
    if b'hello' not in answer: raise ConnectionResetError(errno.ECONNRESET, 'ended')
";

/// A script of attempts.
#[derive(Debug)]
pub struct Attack {
    script: String,
}

/// What each attempt answered.
#[derive(Debug)]
pub struct Answers {
    attempts: Vec<(String, String)>,
    /// Everything that was printed.
    pub printed: String,
    /// What `--json` told of the run; null outside.
    pub result: Value,
    whole: Output,
}

impl Attack {
    /// A script, or a skip of the test where there is no Python.
    pub fn new(body: &str) -> Option<Self> {
        skip::program("python3")?;
        Some(Self { script: format!("{PRELUDE}{body}") })
    }

    /// The whole script.
    pub fn text(&self) -> &str {
        &self.script
    }

    /// Makes it outside, in `folder`, and answers what each attempt came to.
    ///
    /// # Panics
    /// When Python does not start.
    #[expect(clippy::expect_used, reason = "a test without its control must fail loudly")]
    pub fn outside(&self, folder: &Path) -> Answers {
        let mut python = Command::new("python3");
        python.env("COFFERDAM_AUDIT", command::audit_place());
        let output = python.args(["-c", &self.script]).current_dir(folder).output().expect("python3 starts");
        Answers::of_output(command::text(&output.stdout), Value::Null, output)
    }

    /// Makes it in the sandbox, under `dev` unless the options say otherwise.
    ///
    /// # Panics
    /// When the command does not start or tells no result.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test without its result must fail loudly")]
    pub fn inside(&self, tier: Tier, workspace: &Path, options: &[&str]) -> Answers {
        let options: Vec<&str> = ["--json"].iter().chain(options).copied().collect();
        let mut run = tier.run(workspace, &options, &["python3", "-c", &self.script]);
        let output = run.output().expect("cofferdam starts");
        let result: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{tier:?}: {error}: {output:?}"));
        let printed = result.get("stdout").and_then(Value::as_str).unwrap_or_default().to_owned();
        Answers::of_output(printed, result, output)
    }
}

impl Answers {
    fn of_output(printed: String, result: Value, whole: Output) -> Self {
        let line = |line: &str| line.split_once(' ').map(|(name, answer)| (name.to_owned(), answer.to_owned()));
        let lines = printed.lines().filter(|line| !line.starts_with('>'));
        Self { attempts: lines.filter_map(line).collect(), printed, result, whole }
    }

    /// What the attempt of that name answered.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.attempts.iter().find(|(own, _)| own == name).map(|(_, answer)| answer.as_str())
    }

    /// There are `count` attempts, each of which answered one of `accepted`.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_each(&self, count: usize, accepted: &[&str]) {
        assert_eq!(self.attempts.len(), count, "attempts are missing: {self:?}");
        for (name, answer) in &self.attempts {
            assert!(accepted.contains(&answer.as_str()), "{name} answered {answer}, not one of {accepted:?}: {self:?}");
        }
    }

    /// The attempt of that name answered one of `accepted`.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn assert(&self, name: &str, accepted: &[&str]) {
        let answer = self.of(name).unwrap_or("nothing");
        assert!(accepted.contains(&answer), "{name} answered {answer}, not one of {accepted:?}: {self:?}");
    }

    /// There are `count` attempts, and each succeeded: the attack is one.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_control(&self, count: usize) {
        self.assert_each(count, &["ok"]);
    }

    /// The refusal of `subject` is in the result.
    pub fn is_recorded(&self, subject: &str) -> bool {
        let denials = self.result.get("denials").and_then(Value::as_array);
        let is =
            |denial: &Value| denial.get("subject").and_then(Value::as_str).is_some_and(|own| own.ends_with(subject));
        denials.is_some_and(|denials| denials.iter().any(is))
    }

    /// Standard error of the program, or of Python outside.
    pub fn complaints(&self) -> String {
        let told = self.result.get("stderr").and_then(Value::as_str).map(str::to_owned);
        told.unwrap_or_else(|| command::text(&self.whole.stderr))
    }
}
