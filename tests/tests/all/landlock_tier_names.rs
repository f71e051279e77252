//! Without namespaces nothing hides the host's names but the broker: what the policy does not show answers like what is not there.

use cofferdam_tests::command::{run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

fn inside(scratch: &Scratch, options: &[&str], program: &[&str]) -> Output {
    run_without_namespaces(scratch.path(), &[&["--isolation", "landlock"], options].concat(), program).output().unwrap()
}

/// Every way to ask for a name, each printed with what came of it. Descriptors that answers carry do not count.
const ASK: &str = r#"
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def raw(number, *arguments):
    room = ctypes.create_string_buffer(4096)
    words = [room if one is room_mark else (one if isinstance(one, bytes) else ctypes.c_long(one)) for one in arguments]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
room_mark = object()
def ways(path):
    name = path.encode()
    yield 'stat', lambda: os.stat(path)
    yield 'lstat', lambda: os.lstat(path)
    yield 'old stat', lambda: raw(4, name, room_mark)
    yield 'old lstat', lambda: raw(6, name, room_mark)
    yield 'statx', lambda: raw(332, -100, name, 0, 0xfff, room_mark)
    yield 'statx, empty path', lambda: raw(332, -100, name, 0x1000, 0xfff, room_mark)
    yield 'access', lambda: raw(21, name, 0)
    yield 'faccessat', lambda: raw(269, -100, name, 4)
    yield 'faccessat2', lambda: raw(439, -100, name, 4, 0x200)
    yield 'readlink', lambda: os.readlink(path)
    yield 'old readlink', lambda: raw(89, name, room_mark, 4096)
    yield 'statfs', lambda: os.statvfs(path)
    yield 'open', lambda: os.open(path, os.O_RDONLY)
    yield 'open path', lambda: os.open(path, os.O_PATH)
    yield 'open to write', lambda: os.open(path, os.O_WRONLY)
    yield 'open directory', lambda: os.open(path, os.O_DIRECTORY)
    yield 'open exclusively', lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    yield 'create', lambda: os.open(path, os.O_CREAT | os.O_WRONLY)
    yield 'list', lambda: os.listdir(path)
    yield 'mkdir', lambda: os.mkdir(path)
    yield 'rmdir', lambda: os.rmdir(path)
    yield 'unlink', lambda: os.unlink(path)
    yield 'rename from', lambda: os.rename(path, 'taken')
    yield 'rename to', lambda: os.rename('mine', path)
    yield 'link from', lambda: os.link(path, 'taken')
    yield 'link to', lambda: os.link('mine', path)
    yield 'symlink', lambda: os.symlink('mine', path)
    yield 'mkfifo', lambda: os.mkfifo(path)
    yield 'truncate', lambda: os.truncate(path, 0)
    yield 'chmod', lambda: os.chmod(path, 0o777)
    yield 'utime', lambda: os.utime(path, (1, 1))
    yield 'chown', lambda: os.chown(path, -1, os.getgid())
    yield 'getxattr', lambda: os.getxattr(path, 'user.x')
    yield 'listxattr', lambda: os.listxattr(path)
    yield 'setxattr', lambda: os.setxattr(path, 'user.x', b'y')
    yield 'removexattr', lambda: os.removexattr(path, 'user.x')
    yield 'watch', lambda: raw(254, watch, name, 0xfff)
    yield 'bind', lambda: socket.socket(socket.AF_UNIX).bind(path)
    yield 'connect', lambda: socket.socket(socket.AF_UNIX).connect(path)
watch = libc.inotify_init1(0)
open('mine', 'w').close()
for line in sys.stdin:
    label, path = line.rstrip('\n').split('\t')
    for way, ask in ways(path):
        try:
            ask()
            told = 'DONE'
        except OSError as error:
            told = errno.errorcode[error.errno]
        print(label, way, told, sep='\t')
"#;

/// What every way to ask for the paths answers, path by path.
fn answers(
    scratch: &Scratch,
    options: &[&str],
    python: &str,
    paths: &[(&str, String)],
) -> Vec<(String, String, String)> {
    scratch.write("ask.py", ASK);
    let lines: String = paths.iter().map(|(label, path)| format!("{label}\t{path}\n")).collect();
    let input = scratch.write("paths", &lines);
    let program = [python, "ask.py"];
    let mut command =
        run_without_namespaces(scratch.path(), &[&["--isolation", "landlock"], options].concat(), &program);
    let output = command.stdin(fs::File::open(input).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = text(&output.stdout);
    let parts = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
    };
    told.lines().map(parts).collect()
}

/// Both paths answer the same to everything, and nothing to nobody.
#[track_caller]
fn assert_alike(told: &[(String, String, String)], one: &str, other: &str) {
    let of = |label: &str| {
        told.iter().filter(|(own, ..)| own == label).map(|(_, way, told)| (way, told)).collect::<Vec<_>>()
    };
    let (one, other) = (of(one), of(other));
    assert!(one.len() > 30);
    let differ: Vec<_> = one.iter().zip(&other).filter(|(one, other)| one != other).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    let done: Vec<_> = one.iter().filter(|(_, told)| told.as_str() == "DONE").collect();
    assert!(done.is_empty(), "{done:?}");
}

#[test]
fn fs_16_what_the_policy_hides_answers_like_what_is_not_there() {
    let Some(python) = skip::python() else { return };
    let (other, own) = (Scratch::new(), Scratch::new());
    other.write("secret", "SECRET");
    other.write("folder/inner", "SECRET");
    symlink(own.path(), other.join("leads-back")).unwrap();
    own.write("words", "words");
    let hidden = other.path().display().to_string();
    let here = own.path().display().to_string();
    let name = own.path().file_name().unwrap().to_str().unwrap().to_owned();
    for link in ["secret", "missing", "folder", "leads-back"] {
        symlink(other.join(link), own.join(&format!("to-{link}"))).unwrap();
    }
    let paths = [
        ("a file", format!("{hidden}/secret")),
        ("a file that is not", format!("{hidden}/missing")),
        ("a folder", format!("{hidden}/folder")),
        ("a folder that is not", format!("{hidden}/nothing")),
        ("beneath a file", format!("{hidden}/secret/x")),
        ("beneath nothing", format!("{hidden}/missing/x")),
        ("beneath a folder", format!("{hidden}/folder/inner")),
        ("beneath no folder", format!("{hidden}/nothing/inner")),
        ("through a hidden link", format!("{hidden}/leads-back/words")),
        ("through no hidden link", format!("{hidden}/leads-nowhere/words")),
        ("to and fro", format!("{hidden}/folder/../../{name}/words")),
        ("to and fro by nothing", format!("{hidden}/nothing/../../{name}/words")),
        ("back by dots", format!("{here}/to-folder/../../{name}/words")),
        ("back by dots by nothing", format!("{here}/to-missing/../../{name}/words")),
        ("a link's way back", format!("{here}/to-leads-back/words")),
        ("a link's way to nothing", format!("{here}/to-missing/words")),
        ("a link with a slash", format!("{here}/to-folder/")),
        ("a link with a slash to nothing", format!("{here}/to-missing/")),
        ("a link with a dot", format!("{here}/to-folder/.")),
        ("a link with a dot to nothing", format!("{here}/to-missing/.")),
        ("by the root of oneself", format!("/proc/self/root{hidden}/secret")),
        ("by the root to nothing", format!("/proc/self/root{hidden}/missing")),
        ("with a slash", format!("{hidden}/folder/")),
        ("with a slash to nothing", format!("{hidden}/nothing/")),
        ("somebody's process", "/proc/1/cmdline".to_owned()),
        ("nobody's process", "/proc/4194303/cmdline".to_owned()),
        ("a name beside ours", hidden.clone()),
        ("no name beside ours", format!("{hidden}-not")),
    ];
    let told = answers(&own, &[], &python, &paths);
    for pair in paths.chunks(2) {
        assert_alike(&told, pair[0].0, pair[1].0);
    }
    for (label, way, answer) in
        told.iter().filter(|(_, way, _)| ["stat", "statx", "access", "open", "readlink"].contains(&way.as_str()))
    {
        assert_eq!(answer, "ENOENT", "{label}: {way}");
    }
    assert_eq!(fs::read_to_string(other.join("secret")).unwrap(), "SECRET");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 3);
}

#[test]
fn fs_16_what_the_policy_denies_in_the_workspace_does_too() {
    let Some(python) = skip::python() else { return };
    let scratch = Scratch::new();
    scratch.write("denied/key", "SECRET");
    let policy = scratch.write(
        "policy.toml",
        "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/**/denied\", \"{workspace}/**/*.secret\"]\n",
    );
    scratch.write("some.secret", "SECRET");
    let here = scratch.path().display().to_string();
    let paths = [
        ("denied", format!("{here}/denied/key")),
        ("denied and missing", format!("{here}/denied/nothing")),
        ("by a pattern", format!("{here}/some.secret")),
        ("by a pattern and missing", format!("{here}/other.secret")),
    ];
    let told = answers(&scratch, &["--policy", policy.to_str().unwrap()], &python, &paths);
    assert_alike(&told, "denied", "denied and missing");
    assert_alike(&told, "by a pattern", "by a pattern and missing");
    assert_eq!(fs::read_to_string(scratch.join("some.secret")).unwrap(), "SECRET");
}

/// The line prints the same in the tier as outside.
#[track_caller]
fn assert_same(line: &str) {
    let (one, other) = (Scratch::new(), Scratch::new());
    for scratch in [&one, &other] {
        scratch.write("folder/file", "words");
        symlink("folder/file", scratch.join("link")).unwrap();
        symlink("nowhere", scratch.join("dangling")).unwrap();
    }
    let seen = inside(&one, &[], &["sh", "-c", line]);
    let expected = Command::new("sh").args(["-c", line]).current_dir(other.path()).output().unwrap();
    assert_eq!(expected.status.code(), Some(0), "the control itself failed: {expected:?}");
    let neutral = |output: &Output, at: &Path| text(&output.stdout).replace(&*at.to_string_lossy(), "HERE");
    assert_eq!(neutral(&expected, other.path()), neutral(&seen, one.path()), "{line}: {seen:?}");
}

#[test]
fn what_the_policy_shows_looks_the_same_as_outside() {
    for line in [
        "stat -c '%n %a %s %h %F %u %g' folder folder/file link dangling; stat -L -c '%s %F' link; stat -c '%i %Y %d' /usr /usr/bin /usr/bin/env",
        "readlink link dangling; readlink -f link folder/../link .; realpath folder/file; pwd -P; cd folder && pwd",
        "test -r folder/file && test -w folder/file && test ! -x folder/file && test -d folder && test -L link && test ! -e dangling && echo all",
        "test -e /dev/null && test -c /dev/null && test -e /proc/self/stat && test -d /proc/self/fd && test -e /dev/stdin && echo devices",
        "ls -la folder | tail -1 | cut -c1-10; ls -ld / /usr | cut -c1-10; find folder -type f; find /usr/bin | sort | md5sum",
        "find /usr/lib -maxdepth 2 -type l ! -lname '*/etc/*' | sort | xargs -n 500 stat -L -c '%s %i' 2>/dev/null | md5sum; find /usr/bin /usr/include -name 'a*' -printf '%p %s %m %l\\n' | sort | md5sum",
        "basename $(readlink /proc/self/exe); readlink /proc/self/cwd; stat -c %F /proc/self /proc/self/fd/1; test $(readlink /proc/self) -gt 1 && echo number",
        "stat -f -c %T /usr; df . > /dev/null 2>&1; echo x | stat -c %F -; stat -L -c %F /dev/stdin < folder/file; stat -c %s - < folder/file",
    ] {
        assert_same(line);
    }
    // Compilers and others look for a folder to work in so.
    assert_same(
        "cd / && t=${TMPDIR:-/tmp} && test -w $t && test -x $t && test -d $t && f=$(mktemp) && test -w $f && rm $f && echo temporary; test -w /usr/bin/env && test $(id -u) != 0; echo end",
    );
    let Some(python) = skip::python() else { return };
    assert_same(&format!(
        "{python} -c 'import os
print(os.path.realpath(\"link\") == os.path.realpath(\"folder/file\"), os.stat(\"link\").st_size, os.access(\"folder/file\", os.W_OK), os.path.exists(\"missing\"))
d = os.open(\"folder\", os.O_RDONLY); print(os.stat(\"file\", dir_fd=d).st_size, os.fstat(d).st_nlink, os.stat(\"..\", dir_fd=d).st_ino == os.stat(\".\").st_ino)
r, w = os.pipe(); print(oct(os.fstat(r).st_mode)); print([entry.name for entry in sorted(os.scandir(\".\"), key=lambda e: e.name) if entry.is_file(follow_symlinks=False)])
p = os.open(\"folder\", os.O_PATH); print(os.stat(\"file\", dir_fd=p).st_size, oct(os.fstat(os.open(\"folder/file\", os.O_PATH)).st_mode))
for call in [lambda: os.stat(\"\"), lambda: os.fstat(99), lambda: os.stat(\"folder/file/\"), lambda: os.stat(\"folder/file/x\"), lambda: os.readlink(\"folder\"), lambda: os.stat(\"x\" * 300), lambda: os.stat(\"x\", dir_fd=r)]:
    try: call()
    except OSError as e: print(e.errno)'"
    ));
}

#[test]
fn an_answer_goes_only_where_the_caller_may_write() {
    let Some(python) = skip::python() else { return };
    // Addresses without memory, of the kernel's, and a page that ends in the middle of the answer.
    let script = "
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 8192)
start = ctypes.addressof(ctypes.c_char.from_buffer(page))
assert libc.munmap(ctypes.c_void_p(start + 4096), ctypes.c_size_t(4096)) == 0
for to in [0, 8, 2 ** 47 - 1, -4096, -1, start + 4096, start + 4090]:
    for number, arguments in [(4, (b'/usr', to)), (89, (b'link', to, 100)), (332, (-100, b'/usr', 0, 0xfff, to)), (137, (b'/usr', to))]:
        words = [one if isinstance(one, bytes) else ctypes.c_long(one) for one in arguments]
        assert libc.syscall(ctypes.c_long(number), *words) == -1 and ctypes.get_errno() == 14, (number, to, ctypes.get_errno())
assert libc.syscall(ctypes.c_long(4), b'/usr', ctypes.c_long(start)) == 0
print('faults')
os._exit(0)
";
    let scratch = Scratch::new();
    symlink("somewhere-far-away", scratch.join("link")).unwrap();
    let output = inside(&scratch, &[], &[&python, "-c", script]);
    assert_eq!(text(&output.stdout), "faults\n", "{output:?}");
}

#[test]
fn attributes_owners_and_watches_of_one_s_own_files_work_and_of_others_do_not() {
    let Some(python) = skip::python() else { return };
    let script = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
where = sys.argv[1]
def tried(what):
    try: return what()
    except OSError as error: return error.strerror
name = where + '/file'
print(tried(lambda: os.setxattr(name, 'user.one', b'first')), tried(lambda: os.setxattr(name, 'user.one', b'again', os.XATTR_CREATE)))
print(tried(lambda: os.getxattr(name, 'user.one')), tried(lambda: os.listxattr(name)), tried(lambda: os.getxattr(name, 'user.two')))
def by_descriptor():
    f = os.open(name, os.O_RDONLY)
    os.setxattr(f, 'user.two', b'x' * 3000); value = os.getxattr(f, 'user.two'); os.removexattr(f, 'user.two'); return len(value)
print(tried(by_descriptor), tried(lambda: os.removexattr(name, 'user.one')), tried(lambda: os.listxattr(name)))
print(tried(lambda: os.chown(name, os.getuid(), os.getgid())), tried(lambda: os.lchown(name, -1, os.getgid())))
def by_open_file():
    f = os.open(name, os.O_RDONLY); os.fchown(f, -1, os.getgid())
print(tried(by_open_file), tried(lambda: os.setxattr(name, 'trusted.x', b'y')))
def watched():
    queue = libc.inotify_init1(os.O_NONBLOCK)
    number = libc.inotify_add_watch(queue, where.encode(), 0x100 | 0x200)
    if number < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    open(where + '/new', 'w').close(); os.unlink(where + '/new')
    told = os.read(queue, 4096); seen = []
    while told:
        _, mask, _, length = struct.unpack('iIII', told[:16]); seen.append((mask, told[16:16 + length].rstrip(b'\\0'))); told = told[16 + length:]
    return number, seen, libc.inotify_rm_watch(queue, number)
print(tried(watched))
";
    // Only some file systems keep attributes of users.
    let scratch = Scratch::new();
    scratch.write("mine/file", "words");
    let run_outside =
        |place: &Path| Command::new(&python).args(["-c", script]).arg(place.join("mine")).output().unwrap();
    let expected = run_outside(scratch.path());
    assert!(expected.status.success(), "{expected:?}");
    if !text(&expected.stdout).contains("first") {
        return skip::skipped("the file system of temporary folders keeps no extended attributes");
    }
    let own = Scratch::new();
    own.write("mine/file", "words");
    let place = own.join("mine").display().to_string();
    let seen = inside(&own, &[], &[&python, "-c", script, &place]);
    // What only root outside may do is refused to root inside.
    let expected = text(&expected.stdout).replace(" None\nNone None\n", " None\n");
    let same = |told: &str| told.lines().take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(same(&text(&seen.stdout)), same(&expected), "{seen:?}");
    assert!(text(&seen.stdout).contains("(256, b'new'), (512, b'new')"), "{seen:?}");
    let other = Scratch::new();
    let file = other.write("mine/file", "words");
    assert!(Command::new(&python).args(["-c", script]).arg(other.join("mine")).status().unwrap().success());
    let before = fs::metadata(&file).unwrap();
    let (shown, place) = (other.path().display().to_string(), other.join("mine").display().to_string());
    let read = inside(&own, &["--read", &shown], &[&python, "-c", script, &place]);
    let after = fs::metadata(&file).unwrap();
    let changed = |metadata: &fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (metadata.ctime(), metadata.ctime_nsec(), metadata.uid(), metadata.gid())
    };
    assert_eq!(changed(&before), changed(&after), "{read:?}");
    assert!(text(&read.stdout).starts_with("Permission denied Permission denied\n"), "{read:?}");
    let hidden = inside(&own, &[], &[&python, "-c", script, &place]);
    assert!(
        !text(&hidden.stdout).contains("Permission denied") && text(&hidden.stdout).contains("No such file"),
        "{hidden:?}"
    );
}

#[test]
fn fs_10_what_is_denied_in_the_private_folder_cannot_be_made_there() {
    let scratch = Scratch::new();
    let policy = "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{tmp}/closed\", \"{tmp}/sub/closed\"]\n";
    let policy = scratch.write("policy.toml", policy);
    let line = "cd $TMPDIR && mkdir sub && for name in open closed sub/open sub/closed; do \
                (echo x > $name) 2> /dev/null; mkdir $name.d && mv $name.d $name 2> /dev/null; test -e $name && echo $name; done; true";
    let output = inside(&scratch, &["--policy", &policy.to_string_lossy()], &["sh", "-c", line]);
    assert_eq!(text(&output.stdout), "open\nsub/open\n", "{output:?}");
}
