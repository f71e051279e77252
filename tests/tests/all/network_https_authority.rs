//! The authority by which requests inside TLS are looked at: which files will do, and that its key is nowhere but with the host.

use cofferdam_tests::attack::{TIERS, Tier};
use cofferdam_tests::https::Https;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use cofferdam_tests::tls_authority::{TlsAuthority, trusting};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// What came of `line` in `place` under a policy with these further lines.
fn run(tier: Tier, place: &Scratch, (server, world): (&Https, &TlsAuthority), lines: &str, line: &str) -> Output {
    let policy = format!(
        "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:443\"]\nhttp = [\"GET https://api.test/v1/\"]\n{lines}\n"
    );
    let policy = place.write("policy.toml", &policy).display().to_string();
    let options = [vec!["--json".to_owned(), "--policy".to_owned(), policy], server.named("api.test")].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut run = tier.run(place.path(), &options, &["sh", "-c", line]);
    trusting(&mut run, &world.certificate()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_key_that_others_could_have_is_refused() {
    let (Some(world), Some(authority), Some(other)) =
        (TlsAuthority::new("world"), TlsAuthority::new("own"), TlsAuthority::new("other"))
    else {
        return;
    };
    let Some(server) = Https::of(&world, &["api.test"]) else { return };
    let place = Scratch::new();
    let refused = |lines: &str, why: &str| {
        let output = run(Tier::Full, &place, (&server, &world), lines, "echo ran > mark");
        let told = told(&output);
        assert!(!output.status.success() && told.contains(why), "{why}: {told}");
        assert!(!place.join("mark").exists());
        let secrets = [authority.secrets(), other.secrets()].concat();
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
    };
    for mode in [0o640, 0o604, 0o620, 0o601] {
        authority.let_others(mode);
        refused(&authority.line(), "chmod 600");
    }
    authority.let_others(0o600);
    refused("", "network.http_authority = {");
    let line = |certificate: &std::path::Path, key: &std::path::Path| {
        format!("http_authority = {{ certificate = {certificate:?}, key = {key:?} }}")
    };
    refused(&line(&authority.certificate(), &other.key()), "does not prove api.test");
    refused(&line(&authority.certificate(), &place.join("nothing")), "cannot be read");
    refused(&line(&authority.certificate(), &authority.certificate()), "chmod 600");
    refused(&line(&authority.key(), &authority.key()), "is no certificate");
    let issued = Scratch::new();
    let (leaf, key) = authority.issue(&issued, &["x.test"]);
    refused(&line(&leaf, &key), "is the certificate of no authority");
    let gone = Scratch::new();
    let (past, past_key) = TlsAuthority::expired(&gone);
    refused(&line(&past, &past_key), "has expired");
    let between = Scratch::new();
    let (second, second_key) = authority.issue_authority(&between);
    refused(&line(&second, &second_key), "is signed by another authority");
    let Some(of_clients) = TlsAuthority::with("clients", &["extendedKeyUsage=clientAuth"]) else { return };
    refused(&of_clients.line(), "extendedKeyUsage without serverAuth");
    for (kind, option) in [("EC", "ec_paramgen_curve:P-521"), ("RSA", "rsa_keygen_bits:1024")] {
        let path = issued.join("kind.key");
        let mut openssl = Command::new("openssl");
        let made = openssl.args(["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out"]).arg(&path).output();
        assert!(made.unwrap().status.success(), "{option}");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        refused(&line(&authority.certificate(), &path), "RSA from 2048 to 4096 bits, P-256, P-384 or Ed25519");
    }
    let pipe = issued.join("pipe.key");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&line(&authority.certificate(), &pipe), "is no plain file");
    refused(&line(&pipe, &authority.key()), "is no plain file");
    // Shown to the programs that it is to hold, by its own name or by a link that leads there.
    let shown = place.join("shown.key");
    std::fs::copy(authority.key(), &shown).unwrap();
    refused(&line(&authority.certificate(), &shown), "the policy shows");
    let link = issued.join("link.key");
    std::os::unix::fs::symlink(&shown, &link).unwrap();
    refused(&line(&authority.certificate(), &link), "the policy shows");
    let named_twice = issued.join("twice.key");
    std::fs::hard_link(authority.key(), &named_twice).unwrap();
    refused(&authority.line(), "more than one name");
    std::fs::remove_file(named_twice).unwrap();
    let output = run(Tier::Full, &place, (&server, &world), &authority.line(), "echo ran");
    assert!(output.status.success(), "control: {}", told(&output));
    if let Some(of_servers) = TlsAuthority::with("servers", &["extendedKeyUsage=serverAuth"]) {
        let output = run(Tier::Full, &place, (&server, &world), &of_servers.line(), "echo ran");
        assert!(output.status.success(), "control: {}", told(&output));
    }
}

#[test]
fn a_key_that_is_shown_is_refused_where_no_rule_looks_inside_tls_too() {
    let Some(authority) = TlsAuthority::new("own") else { return };
    let (place, elsewhere) = (Scratch::new(), Scratch::new());
    let (shown, link) = (place.join("shown.key"), elsewhere.join("link.key"));
    std::fs::copy(authority.key(), &shown).unwrap();
    std::os::unix::fs::symlink(&shown, &link).unwrap();
    for mode in ["allowlist", "deny", "inherit"] {
        for (key, runs) in
            [(&shown, false), (&link, false), (&place.join("not-there.key"), false), (&authority.key(), true)]
        {
            let (mark, certificate) = (place.join("mark"), authority.certificate());
            let policy = format!(
                "version = 1\nextends = \"dev\"\n[network]\nmode = \"{mode}\"\nhttp_authority = {{ certificate = {certificate:?}, key = {key:?} }}\n"
            );
            let policy = place.write("policy.toml", &policy).display().to_string();
            let line = "cat shown.key > mark";
            let output = Tier::Full.run(place.path(), &["--policy", &policy], &["sh", "-c", line]).output().unwrap();
            let told = told(&output);
            assert_eq!((output.status.success(), mark.exists()), (runs, runs), "{mode} {key:?}: {told}");
            assert!(runs || told.contains("the policy shows"), "{mode} {key:?}: {told}");
            if runs {
                std::fs::remove_file(mark).unwrap();
            }
        }
    }
}

/// Looks for what stands in `needles` in all that a program can read, and prints where it is.
const SEARCH: &str = r#"
import os, stat, sys, urllib.request
needles = [bytes.fromhex(line)[::-1] for line in open('needles').read().split()]
print('status', urllib.request.urlopen('https://api.test/v1/x').status)
def look(path):
    try:
        with open(path, 'rb') as file: text = file.read(4 << 20)
    except OSError: return
    if any(needle in text for needle in needles): found.add(path)
def walk():
    # Without mounts nobody may list the root.
    for root in '/', os.getcwd(), os.environ['TMPDIR']: yield from os.walk(root)
found = set()
for top, folders, files in walk():
    # Nothing that is the host's own, and large.
    folders[:] = [name for name in folders if name not in ('usr', 'sys', 'opt', 'lib', 'lib64', 'proc', '.cargo', '.rustup', '.npm', '.nvm', '.cache')]
    for name in files:
        path = os.path.join(top, name)
        try:
            if stat.S_ISREG(os.lstat(path).st_mode): look(path)
        except OSError: pass
try: processes = [name for name in os.listdir('/proc') if name.isdigit()]
except OSError: processes = ['self', str(os.getppid())]
for process in processes:
    for name in 'environ', 'cmdline', 'status', 'maps', 'mountinfo', 'stat', 'auxv':
        look('/proc/%s/%s' % (process, name))
    if process not in ('self', str(os.getpid())):
        try: memory = open('/proc/%s/mem' % process, 'rb')
        except OSError: continue
        for line in open('/proc/%s/maps' % process):
            low, high = (int(part, 16) for part in line.split()[0].split('-'))
            try: memory.seek(low); text = memory.read(min(high - low, 8 << 20))
            except (OSError, ValueError, OverflowError): continue
            if any(needle in text for needle in needles): found.add('memory of ' + process)
for name, value in os.environb.items():
    if any(needle in value for needle in needles): found.add(os.fsdecode(name))
for one in found: print('found', one)
print('done')
"#;

#[test]
fn the_key_is_nowhere_inside_and_in_nothing_that_is_told() {
    let (Some(world), Some(authority)) = (TlsAuthority::new("world"), TlsAuthority::new("own")) else { return };
    let Some(server) = Https::of(&world, &["api.test"]) else { return };
    if skip::program("python3").is_none() {
        return;
    }
    let place = Scratch::new();
    place.write("search.py", SEARCH);
    let secrets = authority.secrets();
    assert!(!secrets.is_empty() && secrets.iter().all(|line| line.len() > 8), "{secrets:?}");
    // What there is to be found is.
    let marker = "marker-of-what-is-found";
    place.write("leaked", marker);
    // Turned round, so that what is looked for is not found in what it is looked for by.
    let turned = |text: &str| text.bytes().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut needles: Vec<String> = secrets.iter().map(String::as_str).chain([marker]).map(turned).collect();
    needles.push(authority.secret_number().iter().rev().map(|byte| format!("{byte:02x}")).collect());
    place.write("needles", &needles.join("\n"));
    for tier in TIERS {
        let line = "timeout 200 python3 search.py; cat $(dirname $SSL_CERT_FILE)/*.pem";
        let output = run(tier, &place, (&server, &world), &authority.line(), line);
        let told = told(&output);
        assert!(told.contains("status 200") && told.contains("done"), "{told}");
        let found: Vec<&str> = told.split("\\n").filter(|line| line.contains("found ")).collect();
        assert!(matches!(found.as_slice(), [one] if one.ends_with("/leaked")), "{found:?}");
        assert!(told.contains("BEGIN CERTIFICATE") && !told.contains("PRIVATE"), "{told}");
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
    }
}
