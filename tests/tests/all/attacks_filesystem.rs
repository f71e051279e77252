//! A file and a directory of somebody else's, attacked in every way: nothing is seen, nothing is changed.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::scratch::Scratch;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const CANARY: &str = "SECRET-CANARY";

/// Somebody else's directory, with a file in it.
struct Outside {
    folder: Scratch,
}

impl Outside {
    fn new() -> Self {
        let folder = Scratch::new();
        folder.write("canary", CANARY);
        folder.write("program", "#!/bin/sh\necho SECRET-CANARY\n");
        fs::set_permissions(folder.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// What an attack must leave as it is: names, contents, owners, modes, times of change.
    fn witness(&self) -> Vec<String> {
        let mut seen: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let facts = fs::symlink_metadata(entry.path()).unwrap();
                let contents = fs::read(entry.path()).unwrap_or_default();
                format!(
                    "{:?} {:o} {} {} {} {}.{} {contents:?}",
                    entry.file_name(),
                    facts.mode(),
                    facts.uid(),
                    facts.gid(),
                    facts.nlink(),
                    facts.ctime(),
                    facts.ctime_nsec()
                )
            })
            .collect();
        seen.sort();
        seen
    }
}

/// `attempts` succeed outside, and inside each answers one of `accepted`; the canary is neither seen nor changed.
#[track_caller]
fn assert_fails(count: usize, attempts: &str, accepted: fn(Tier) -> &'static [&'static str]) {
    let script = |outside: &Outside| format!("out = {:?}; canary = out + '/canary'\n{attempts}", outside.path());
    let (other, place) = (Outside::new(), Scratch::new());
    let Some(attack) = Attack::new(&script(&other)) else { return };
    attack.outside(place.path()).assert_control(count);
    for tier in TIERS {
        let (outside, inside) = (Outside::new(), Scratch::new());
        let before = outside.witness();
        let Some(attack) = Attack::new(&script(&outside)) else { return };
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert_each(count, accepted(tier));
        assert!(!answers.printed.contains(CANARY), "{tier:?}: {answers:?}");
        assert_eq!(outside.witness(), before, "{tier:?}: {answers:?}");
        assert_nothing_of_it_in(inside.path());
    }
}

/// No file here holds the canary: a copy would be a leak as good as words.
#[track_caller]
fn assert_nothing_of_it_in(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let contents = if is_file { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
        assert!(!String::from_utf8_lossy(&contents).contains(CANARY), "{}", entry.path().display());
    }
}

const HIDDEN: fn(Tier) -> &'static [&'static str] = |_| &["ENOENT", "EACCES"];

#[test]
fn fs_01_a_file_outside_is_opened_in_no_mode() {
    let attempts = "
attempt('read', lambda: show(read(canary)))
attempt('write', lambda: os.open(canary, os.O_WRONLY))
attempt('mapped', lambda: mmap.mmap(os.open(canary, os.O_RDONLY), 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
attempt('truncate', lambda: os.open(canary, os.O_WRONLY | os.O_TRUNC))
attempt('path', lambda: show(read('/proc/self/fd/%d' % os.open(canary, os.O_PATH))))
attempt('listed', lambda: os.listdir(out))
attempt('made', lambda: write(out + '/made'))
attempt('removed', lambda: os.unlink(out + '/made'))
";
    assert_fails(8, attempts, HIDDEN);
}

#[test]
fn fs_02_long_and_tangled_paths_lead_nowhere() {
    let attempts = "
here = os.getcwd(); up = '../' * 30
attempt('up', lambda: read(up + canary[1:]))
attempt('slashes', lambda: read('//' + canary.replace('/', '//')))
attempt('dots', lambda: read(canary.replace('/', '/./')))
attempt('long', lambda: read('/.' * ((4095 - len(canary)) // 2) + canary))
for number in range(39): os.symlink('link%d' % (number + 1), 'link%d' % number)
os.symlink(canary, 'link39')
attempt('links', lambda: read('link0'))
attempt('link-slash', lambda: read('link39'))
";
    assert_fails(6, attempts, HIDDEN);
    let Some(attack) = Attack::new(
        "os.symlink('a', 'b'); os.symlink('b', 'a')\nattempt('loop', lambda: read('a'))\nattempt('longer', lambda: read('/.' * 3000))\n\
         for number in range(41): os.symlink('link%d' % (number + 1), 'link%d' % number)\nwrite('link41')\nattempt('many', lambda: read('link0'))\n",
    ) else {
        return;
    };
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert("loop", &["ELOOP"]);
        answers.assert("longer", &["ENAMETOOLONG"]);
        answers.assert("many", &["ELOOP"]);
    }
}

#[test]
fn fs_03_a_planted_link_leads_nowhere() {
    let attempts = "
os.symlink(canary, 'ln'); os.symlink(out, 'folder'); os.symlink(out + '/program', 'run')
attempt('read', lambda: show(read('ln')))
attempt('append', lambda: open('ln', 'a'))
attempt('truncate', lambda: os.truncate('ln', 20))
attempt('execute', lambda: subprocess.run(['./run'], check=True))
attempt('list', lambda: os.listdir('folder'))
attempt('make', lambda: write('folder/made'))
attempt('remove', lambda: os.unlink('folder/made'))
attempt('touch', lambda: os.utime('ln'))
attempt('mode', lambda: os.chmod('ln', 0o600))
";
    assert_fails(9, attempts, HIDDEN);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_08_a_file_outside_gets_no_second_name() {
    // Renaming may answer EXDEV: the two places are different mounts.
    let attempts = "
attempt('link', lambda: os.link(canary, 'h'))
attempt('symbolic', lambda: (os.symlink(canary, 's'), call(265, AT_FDCWD, 's', AT_FDCWD, 'h2', 0x400)))
attempt('held', lambda: call(265, AT_FDCWD, '/proc/self/fd/%d' % os.open(canary, os.O_PATH), AT_FDCWD, 'h3', 0x400))
attempt('into', lambda: (write('own'), os.link('own', out + '/own')))
";
    assert_fails(4, attempts, |_| &["ENOENT", "EACCES", "EXDEV", "EPERM"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_08_an_inherited_descriptor_gives_no_second_name() {
    let Some(attack) = Attack::new("attempt('empty', lambda: call(265, 0, '', AT_FDCWD, 'h', 0x1000))\n") else {
        return;
    };
    for tier in TIERS {
        let (outside, inside) = (Outside::new(), Scratch::new());
        let before = outside.witness();
        let script = outside.folder.join("canary");
        let body = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
                    print('ok' if libc.syscall(265, 0, b'', -100, b'h', 0x1000) == 0 else ctypes.get_errno())";
        let mut run = tier.run(inside.path(), &[], &["python3", "-c", body]);
        let output = run.stdin(fs::File::open(script).unwrap()).output().unwrap();
        assert_ne!(output.stdout, b"ok\n", "{tier:?}: {output:?}");
        assert!(!inside.join("h").exists());
        assert_eq!(outside.witness(), before);
        // An unprivileged process may not do it outside either; the call is refused by the filter or by the kernel.
        attack.inside(tier, inside.path(), &[]).assert_each(1, &["ENOENT", "EPERM", "EXDEV", "EACCES"]);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_09_nothing_is_renamed_into_or_out_of_the_workspace() {
    let attempts = "
write('own')
attempt('into', lambda: os.rename('own', out + '/own'))
attempt('out', lambda: os.rename(out + '/own', 'own') if os.path.exists(out) else os.rename(canary, 'own'))
attempt('exchange', lambda: call(316, AT_FDCWD, 'own', AT_FDCWD, canary, 2))
attempt('back', lambda: call(316, AT_FDCWD, canary, AT_FDCWD, 'own', 2))
";
    assert_fails(4, attempts, |_| &["ENOENT", "EACCES", "EXDEV"]);
    // A whiteout is a device, which outside of user namespaces only root makes.
    let Some(attack) =
        Attack::new("write('x')\nattempt('whiteout', lambda: call(316, AT_FDCWD, 'x', AT_FDCWD, 'y', 4))\n")
    else {
        return;
    };
    for tier in TIERS {
        let inside = Scratch::new();
        attack.inside(tier, inside.path(), &[]).assert_each(1, &["EPERM", "EACCES", "EINVAL"]);
        assert!(!inside.join("y").exists());
    }
}

#[test]
fn fs_10_a_descriptor_that_reads_is_not_reopened_to_write() {
    let attempts = "
attempt('reopen', lambda: os.open('/proc/self/fd/%d' % held, os.O_RDWR))
attempt('thread', lambda: os.open('/proc/thread-self/fd/%d' % held, os.O_WRONLY))
attempt('append', lambda: os.open('/dev/fd/%d' % held, os.O_WRONLY | os.O_APPEND))
attempt('truncate', lambda: os.truncate('/proc/self/fd/%d' % held, 3))
attempt('ftruncate', lambda: os.ftruncate(os.open('/proc/self/fd/%d' % held, os.O_RDWR), 3))
";
    for tier in TIERS {
        let (outside, inside) = (Outside::new(), Scratch::new());
        let path = outside.path();
        let Some(attack) = Attack::new(&format!("held = os.open('{path}/canary', os.O_RDONLY)\n{attempts}")) else {
            return;
        };
        let before = outside.witness();
        attack.inside(tier, inside.path(), &["--read", &path]).assert_each(5, &["EROFS", "EACCES"]);
        assert_eq!(outside.witness(), before);
        attack.outside(inside.path()).assert_control(5);
    }
}

#[test]
fn fs_13_only_the_three_descriptors_cross() {
    let body = "
print(sorted(int(name) for name in os.listdir('/proc/self/fd'))[:-1])
for number in range(3, 300):
    for name, act in [('list', os.listdir), ('go', os.fchdir), ('write', lambda fd: os.write(fd, b'x')),
                      ('open', lambda fd: os.open('canary', os.O_RDONLY, dir_fd=fd))]:
        try: act(number); print('leaked', number, name)
        except OSError: pass
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let (outside, inside) = (Outside::new(), Scratch::new());
        let folder = fs::File::open(outside.folder.path()).unwrap();
        let file = fs::OpenOptions::new().append(true).open(outside.folder.join("canary")).unwrap();
        for held in [&folder, &file] {
            nix::fcntl::fcntl(held, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        }
        let answers = attack.inside(tier, inside.path(), &[]);
        let control = attack.outside(inside.path());
        for held in [&folder, &file] {
            nix::fcntl::fcntl(held, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
        assert_eq!(answers.printed, "[0, 1, 2]\n", "{answers:?}");
        assert!(control.printed.contains("leaked"), "control: {control:?}");
        assert_eq!(fs::read_to_string(outside.folder.join("canary")).unwrap().replace('x', ""), CANARY);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_15_metadata_of_a_file_outside_stays_as_it_is() {
    let attempts = "
attempt('mode', lambda: os.chmod(canary, 0o777))
attempt('times', lambda: os.utime(canary, (1, 1)))
attempt('owner', lambda: os.chown(canary, -1, os.getgid()))
attempt('attribute', lambda: os.setxattr(canary, 'user.x', b'y'))
attempt('unattribute', lambda: os.removexattr(canary, 'user.x') if os.path.exists(canary) else os.removexattr(canary, 'user.x'))
attempt('futimesat', lambda: call(261, AT_FDCWD, canary, 0))
attempt('fchmodat2', lambda: call(452, AT_FDCWD, canary, 0o700, 0))
";
    let accepted: fn(Tier) -> &'static [&'static str] = |tier| match tier {
        Tier::Full => &["ENOENT", "EACCES", "EROFS", "EPERM", "ENOSYS"],
        // The filter answers for whole families of calls, with what programs take for a missing feature.
        Tier::Landlock => &["ENOENT", "EACCES", "EROFS", "EPERM", "ENOSYS", "EOPNOTSUPP", "ENOTSUP"],
    };
    assert_fails(7, attempts, accepted);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_32_no_file_is_opened_by_its_handle() {
    // The handle of the host's root directory, as the host itself got it.
    let body = "
class Handle(ctypes.Structure): _fields_ = [('bytes', ctypes.c_uint), ('kind', ctypes.c_int), ('handle', ctypes.c_ubyte * 128)]
handle = Handle(128, 0); mount = ctypes.c_int()
attempt('name', lambda: call(303, AT_FDCWD, '/', handle, mount, 0))
attempt('open', lambda: call(304, os.open('/', os.O_RDONLY), handle, 0))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert("open", &["EPERM", "EACCES"]);
    }
    let place = Scratch::new();
    if nix::unistd::geteuid().is_root() {
        attack.outside(place.path()).assert("open", &["ok"]);
    } else {
        cofferdam_tests::skip::skipped("the control of open_by_handle_at needs root");
    }
}
