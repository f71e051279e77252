//! Names as attacks: names that flip, names that look alike, names that no terminal should see, names of temporary files.

use cofferdam_tests::attack::{Attack, TIERS};
use cofferdam_tests::command::{audit_place, binary, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

const CANARY: &str = "SECRET-CANARY";

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_04_a_name_that_flips_to_a_denied_link_shows_nothing() {
    // One thread exchanges a file and a link; another opens, reads, writes and executes what it finds.
    let body = "
stop = False
def flip():
    while not stop: libc.renameat2(-100, b'x', -100, b'y', 2)
thread = threading.Thread(target=flip); thread.start()
sys.setswitchinterval(1e-4)
end = time.monotonic() + 0.7; seen = set(); tries = 0
def met():
    told = [str(one) for one in seen]
    return any('harmless' in one for one in told) and any(one.startswith('E') or 'SECRET' in one for one in told)
# Longer on a machine that is busy with something else, and where both take turns so evenly that one is never met.
while time.monotonic() < end or ((tries <= 50 or not met()) and time.monotonic() < end + 15):
    tries += 1
    if time.monotonic() > end: time.sleep(tries % 7 / 1000)
    for name, act in [('read', lambda: seen.add(read('x'))), ('write', lambda: os.close(os.open('x', os.O_WRONLY))),
                      ('path', lambda: seen.add(read('/proc/self/fd/%d' % os.open('x', os.O_PATH)))), ('stat', lambda: os.truncate('x', 8))]:
        try: act()
        except OSError as error: seen.add(errno.errorcode[error.errno])
    os.closerange(3, 50)
stop = True; thread.join()
print(sorted(map(str, seen))); print(tries > 50)
";
    let Some(attack) = Attack::new(body) else { return };
    let setting = |outside: &Scratch, inside: &Scratch| {
        outside.write("canary", CANARY);
        inside.write("x", "harmless");
        symlink(outside.join("canary"), inside.join("y")).unwrap();
    };
    for tier in TIERS {
        let (outside, inside) = (Scratch::new(), Scratch::new());
        setting(&outside, &inside);
        let answers = attack.inside(tier, inside.path(), &[]);
        let seen = &answers.printed;
        assert!(seen.contains("harmless") && seen.contains("True"), "{tier:?}: the race was not run: {answers:?}");
        assert!(seen.contains("ENOENT") || seen.contains("EACCES"), "{tier:?}: the link was never met: {answers:?}");
        assert!(!seen.contains("SECRET"), "{tier:?}: {answers:?}");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), CANARY);
    }
    let (outside, inside) = (Scratch::new(), Scratch::new());
    setting(&outside, &inside);
    let control = attack.outside(inside.path());
    assert!(control.printed.contains("SECRET"), "control: {control:?}");
}

#[test]
fn fs_23_no_other_spelling_shows_a_denied_file() {
    // Composed, by a ligature, in lower case.
    for tier in TIERS {
        let (inside, aside) = (Scratch::new(), Scratch::new());
        for name in ["caf\u{e9}", "of\u{fb01}ce", "Secret"] {
            inside.write(name, CANARY);
        }
        let rules: Vec<String> =
            ["caf\u{e9}", "of\u{fb01}ce", "Secret"].iter().map(|name| format!("\"{{workspace}}/{name}\"")).collect();
        let policy = aside.write(
            "p.toml",
            &format!(
                "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [{}]\n[isolation]\nrequire = \"landlock\"\n",
                rules.join(", ")
            ),
        );
        let body = "
import unicodedata
for name in ['caf\\u00e9', 'of\\ufb01ce', 'Secret']:
    for number, other in enumerate({name, name.upper(), name.lower(), name.casefold(), *(unicodedata.normalize(form, name) for form in ['NFC', 'NFD', 'NFKC', 'NFKD'])}):
        for before in ['', './', os.getcwd() + '/', '/private' + os.getcwd() + '/', '/System/Volumes/Data' + os.getcwd() + '/']:
            attempt('%s-%d' % (ascii(name), number), lambda: show(read(before + other)))
";
        let Some(attack) = Attack::new(body) else { return };
        let answers = attack.inside(tier, inside.path(), &["--policy", policy.to_str().unwrap()]);
        assert!(
            answers.printed.matches("ENOENT").count() + answers.printed.matches("EACCES").count() > 30,
            "{answers:?}"
        );
        assert!(!answers.printed.contains("SECRET") && !answers.printed.contains(" ok"), "{tier:?}: {answers:?}");
        let control = attack.outside(inside.path());
        assert!(control.printed.contains("SECRET"), "control: {control:?}");
    }
}

#[test]
fn fs_23_a_directory_that_folds_case_is_no_way_around() {
    // Such a directory needs a kernel with CONFIG_UNICODE, and namespaces of the test's own to mount it in.
    let scratch = Scratch::new();
    scratch.write("p.toml", "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/**/secret\"]\n");
    let place = scratch.path().display();
    let line = format!(
        "mkdir {place}/m && mount -t tmpfs -o casefold none {place}/m && mkdir {place}/m/ws && chattr +F {place}/m/ws && \
         echo {CANARY} > {place}/m/ws/secret && cat {place}/m/ws/SECRET && echo CONTROL && \
         {} run --policy {place}/p.toml --workspace {place}/m/ws -- sh -c 'cat SECRET Secret; echo evil > .ENVRC'; cat {place}/m/ws/.envrc",
        binary().display()
    );
    let seen = Command::new("unshare")
        .env("COFFERDAM_AUDIT", audit_place())
        .args(["-Urm", "sh", "-c", &line])
        .output()
        .unwrap();
    let told = text(&seen.stdout);
    let Some((_, inside)) = told.split_once("CONTROL\n") else {
        return skip::skipped("this kernel folds no case (CONFIG_UNICODE)");
    };
    assert_eq!(inside, "", "{seen:?}");
}

#[test]
fn fs_31_odd_names_reach_reports_whole_and_harmless() {
    // A newline, an escape, a mark that turns text around, bytes that are no UTF-8, and the longest of names.
    let body = "
names = [b'new\\nline', b'\\x1b]52;c;x\\x07', b'\\xe2\\x80\\xaeetad', b'\\xff\\xfe', b'x' * 255, b' ', b'-rf', b'\"quote\"']
os.mkdir('.vscode') if not os.path.exists('.vscode') else None
for number, name in enumerate(names):
    attempt('made-%d' % number, lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))
    attempt('kept-%d' % number, lambda: os.close(os.open(b'.vscode/' + name, os.O_CREAT | os.O_WRONLY)))
attempt('longer', lambda: open('x' * 256, 'w'))
show(sorted(os.listdir(b'.')) == sorted(names + [b'.vscode']))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        inside.write(".vscode/tasks.json", "{}");
        let answers = attack.inside(tier, inside.path(), &[]);
        for number in 0..8 {
            answers.assert(&format!("made-{number}"), &["ok"]);
            answers.assert(&format!("kept-{number}"), &["EACCES", "EROFS", "EPERM"]);
        }
        answers.assert("longer", &["ENAMETOOLONG"]);
        assert!(answers.printed.ends_with("> True\n"), "{answers:?}");
        // One record for each, and what JSON cannot say as bytes it says in some way that is still text.
        let denials = answers.result["denials"].as_array().unwrap();
        let subject =
            |end: &str| denials.iter().any(|one| one["subject"].as_str().is_some_and(|own| own.ends_with(end)));
        for end in ["/new\nline", "/\u{1b}]52;c;x\u{7}", "/\u{202e}etad", "/-rf", "/\"quote\"", "/ ", "/\\xff\\xfe"] {
            assert!(subject(end), "{tier:?} {end:?}: {denials:?}");
        }
        assert_eq!(fs::read_dir(inside.join(".vscode")).unwrap().count(), 1);
        for entry in fs::read_dir(inside.path()).unwrap().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        // For people they are shown without what a terminal would obey.
        let shown = tier
            .run(inside.path(), &[], &["python3", "-c", &format!("{}\nsys.exit(1)", attack.text())])
            .output()
            .unwrap();
        let told = text(&shown.stderr);
        assert!(told.contains(".vscode"), "{shown:?}");
        assert!(
            !told.contains('\u{1b}') && !told.contains('\u{7}') && !told.contains('\u{202e}'),
            "{tier:?}: {told:?}"
        );
        assert!(!told.lines().any(|line| line.starts_with("line")), "{told}");
    }
}

#[test]
fn fs_33_temporary_storage_is_private_and_programs_find_it() {
    for tier in TIERS {
        let inside = Scratch::new();
        let line = "stat -c %a \"$TMPDIR\"; f=$(mktemp) && echo made > $f && cat $f; cat <<END\nhere\nEND\n\
                    for v in TMPDIR TMP TEMP TMPPREFIX XDG_RUNTIME_DIR; do eval \"test -n \\\"\\$$v\\\"\" && echo $v; done; \
                    echo kept > $TMPDIR/cofferdam-kept; touch /tmp/predicted 2>/dev/null";
        let seen = tier.run(inside.path(), &[], &["bash", "-c", line]).output().unwrap();
        let expected = "700\nmade\nhere\nTMPDIR\nTMP\nTEMP\nTMPPREFIX\nXDG_RUNTIME_DIR\n";
        assert_eq!(text(&seen.stdout), expected, "{tier:?}: {seen:?}");
        assert!(
            !std::path::Path::new("/tmp/cofferdam-kept").exists() && !std::path::Path::new("/tmp/predicted").exists()
        );
        // The next run finds nothing of it.
        let seen =
            tier.run(inside.path(), &[], &["sh", "-c", "cat $TMPDIR/cofferdam-kept; ls -A $TMPDIR"]).output().unwrap();
        assert!(!text(&seen.stdout).contains("kept"), "{tier:?}: {seen:?}");
    }
    let inside = Scratch::new();
    let mut zsh = Command::new("zsh");
    if skip::program("zsh").is_none() {
        return;
    }
    let line = "cat <<END\nhere\nEND\ncat =(echo substituted)";
    for tier in TIERS {
        let seen = tier.run(inside.path(), &[], &["zsh", "-c", line]).output().unwrap();
        assert_eq!(text(&seen.stdout), "here\nsubstituted\n", "{tier:?}: {seen:?}");
    }
    assert_eq!(text(&zsh.args(["-c", line]).output().unwrap().stdout), "here\nsubstituted\n", "control");
}

#[test]
fn fs_33_another_run_s_temporary_files_are_not_seen() {
    for tier in TIERS {
        let (first, second) = (Scratch::new(), Scratch::new());
        let line = "echo SECRET-CANARY > $TMPDIR/own; echo $TMPDIR > where.new; mv where.new where; while ! test -e go; do sleep 0.01; done; cat $TMPDIR/own";
        let mut run = tier.run(first.path(), &["--no-tty"], &["sh", "-c", line]);
        let child = run.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let place = first.join("where");
        assert!(cofferdam_tests::observe::within(std::time::Duration::from_secs(10), || place.exists()));
        let place = fs::read_to_string(place).unwrap();
        let line =
            format!("cat {0}/own; ls -A {0}; cat /tmp/*/own /tmp/cofferdam*/own; echo x > {0}/own", place.trim());
        let seen = tier.run(second.path(), &[], &["sh", "-c", &line]).output().unwrap();
        first.write("go", "");
        let own = child.wait_with_output().unwrap();
        assert!(!text(&seen.stdout).contains("SECRET"), "{tier:?}: {seen:?}");
        assert_eq!(text(&own.stdout), "SECRET-CANARY\n", "{tier:?}: {own:?}");
    }
    let mode = fs::metadata(std::env::temp_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o1000, 0o1000, "the host's own is shared, as a control");
}
