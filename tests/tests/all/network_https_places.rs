//! Requests inside TLS wherever a run has its network: in a session, behind a proxy of the host's, in an action; and what it comes to
//! trust there.

use crate::actions::command as action;
use crate::network_https::{Witness, ended_by};
use cofferdam_tests::attack::Tier;
use cofferdam_tests::host::{Host, first_line};
use cofferdam_tests::https::Https;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use cofferdam_tests::tls_authority::{TRUSTED, TlsAuthority, trusting};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

const RULES: [&str; 1] = ["GET https://api.test/v1/"];

#[test]
fn commands_of_a_session_are_held_to_the_rules_one_after_another() {
    let Some(witness) = Witness::new() else { return };
    if skip::program("curl").is_none() {
        return;
    }
    for network in ["shared", "separate"] {
        let before = witness.server.arrived().lines().count();
        let session = HostedSession::declared(&format!(
            "policy = \"policy.toml\"\nnetwork = \"{network}\"\n\
             [commands.fine]\nshell = \"curl -sS https://api.test/v1/x\"\n\
             [commands.other]\nshell = \"curl -s -o /dev/null -w '%{{http_code}}' https://api.test/secret\"\n\
             [commands.plain]\nshell = \"curl -sS https://plain.test/x\"\n"
        ));
        let policy = witness.policy(&RULES).replace("allow = [", "allow = [\"plain.test:443\", ");
        session.workspace.write("policy.toml", &policy);
        let (proxy, _asked) = leading_to(witness.server.port());
        let mut open = session.command(&["open", "s"]);
        open.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port()));
        let opened = trusting(&mut open, &witness.world.certificate()).output().unwrap();
        assert!(opened.status.success(), "{opened:?}");
        for _ in 0..2 {
            assert_eq!(session.told(&["run", "s", "fine"]), "hello api.test\n", "{network}");
            assert_eq!(session.told(&["run", "s", "other"]).trim_end(), "403", "{network}");
            assert_eq!(session.told(&["run", "s", "plain"]), "hello plain.test\n", "{network}");
        }
        let arrived: Vec<String> = witness.server.arrived().lines().skip(before).map(str::to_owned).collect();
        assert_eq!(arrived, ["GET /v1/x HTTP/1.1 ", "GET /x HTTP/1.1 "].repeat(2), "{network}");
    }
}

/// Hands everything on between both, each way until it ends.
fn join(one: TcpStream, other: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = (one.try_clone()?, other.try_clone()?);
    let out = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (other, one);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = out.join();
    Ok(())
}

/// A proxy of the host's, which hands all connections on to `port` of this machine, and what it was asked for.
fn leading_to(port: u16) -> (Host, mpsc::Receiver<String>) {
    let (told, asked) = mpsc::channel();
    let proxy = Host::new(move |mut stream| {
        let _ = told.send(first_line(&mut stream)?);
        stream.write_all(b"HTTP/1.1 200 fine\r\n\r\n")?;
        join(stream, TcpStream::connect(("127.0.0.1", port))?)
    });
    (proxy, asked)
}

#[test]
fn behind_a_proxy_the_host_itself_is_who_proves_its_name() {
    let (Some(witness), Some(other)) = (Witness::new(), TlsAuthority::new("the proxy's")) else { return };
    let Some(between) = Https::of(&other, &["api.test"]) else { return };
    if skip::program("curl").is_none() {
        return;
    }
    // One that leads to the host, and one that leads to itself: with a certificate of nobody's.
    for (port, status) in [(witness.server.port(), "200"), (between.port(), "502")] {
        let (proxy, asked) = leading_to(port);
        let line = "for p in /v1/x /secret; do curl -s -o /dev/null -w '%{http_code} ' https://api.test$p; done";
        let mut run = witness.under(&witness.policy(&RULES), &[], line);
        let result = ended_by(run.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port())));
        assert_eq!(result["stdout"], format!("{status} 403 "), "{result}");
        let asked: Vec<String> = asked.try_iter().collect();
        assert_eq!(asked, ["CONNECT api.test:443 HTTP/1.1"], "what is refused is not even dialled");
    }
    assert_eq!(witness.server.arrived(), "GET /v1/x HTTP/1.1 \n");
    assert_eq!(between.arrived(), "");
}

#[test]
fn an_action_that_fetches_is_held_to_the_rules_as_any_program_is() {
    let Some(witness) = Witness::new() else { return };
    let policy = witness.place.write("policy.toml", &witness.policy(&RULES)).display().to_string();
    let (proxy, _asked) = leading_to(witness.server.port());
    let fetched = |path: &str| {
        let asked = json!({ "url": format!("https://api.test{path}") });
        let mut run = action(witness.place.path(), "http_fetch", &asked, &["--policy", &policy]);
        run.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port()));
        ended_by(trusting(&mut run, &witness.world.certificate()))["result"].clone()
    };
    let result = fetched("/v1/x");
    let answer = (&result["output"]["status"], &result["output"]["body"]["text"]);
    assert_eq!(answer, (&json!(200), &json!("hello api.test\n")), "{result}");
    let result = fetched("/secret");
    assert_eq!(result["output"]["status"], 403, "{result}");
    assert_eq!(witness.server.arrived(), "GET /v1/x HTTP/1.1 \n");
}

/// The bodies of the certificates in a text.
fn certificates(text: &str) -> BTreeSet<String> {
    let parts = text.split("-----BEGIN CERTIFICATE-----").skip(1).filter_map(|part| part.split("-----END").next());
    parts.map(|body| body.split_whitespace().collect()).collect()
}

#[test]
fn all_that_a_real_machine_trusts_is_inside_and_the_authority_with_it() {
    const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let Ok(store) = std::fs::read_to_string(STORE) else {
        return skip::skipped("this machine has no store of certificates where Debian has it");
    };
    for witness in Witness::everywhere() {
        let beside = "$(dirname $SSL_CERT_FILE)/authority.pem";
        let line = format!("cat $SSL_CERT_FILE; cmp $NODE_EXTRA_CA_CERTS {beside} && echo same");
        let mut run = witness.command(&RULES, &line);
        let result = ended_by(run.env(TRUSTED, STORE));
        let (inside, own) =
            (result["stdout"].as_str().unwrap(), std::fs::read_to_string(witness.authority.certificate()));
        let expected: BTreeSet<String> = certificates(&store).union(&certificates(&own.unwrap())).cloned().collect();
        assert!(expected.len() > 10, "it is a real one");
        assert_eq!(certificates(inside), expected);
        assert!(
            inside.ends_with("-----END CERTIFICATE-----\nsame\n")
                || inside.ends_with("-----END CERTIFICATE-----\r\nsame\n")
        );
    }
}

#[test]
fn without_mounts_the_files_are_in_temporary_storage_and_end_with_it() {
    let Some(witness) = Witness::of(Tier::Landlock) else { return };
    let line = "echo $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS; cat $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS | grep -c BEGIN";
    let result = ended_by(&mut witness.command(&RULES, line));
    let told = result["stdout"].as_str().unwrap();
    let (bundle, authority) = told.lines().next().unwrap().split_once(' ').unwrap();
    assert!(bundle.ends_with("/.cofferdam/certificates.pem") && told.ends_with("\n3\n"), "{result}");
    assert!(!Path::new(bundle).exists() && !Path::new(authority).exists(), "{result}");
    assert!(!Path::new(bundle).ancestors().nth(2).unwrap().exists(), "{result}");
    // A run without such storage has nowhere to find them.
    let policy = witness.policy(&RULES).replace("extends = \"dev\"\n", "");
    let policy = format!(
        "{policy}[filesystem]\nread = [\"/usr\", \"/bin\", \"/lib\", \"/lib64\"]\nwrite = [\"{{workspace}}\"]\n"
    );
    let output = witness.under(&policy, &witness.leads(), "touch mark").output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && told.contains("{tmp}"), "{told}");
    assert!(!witness.place.join("mark").exists(), "{told}");
}

#[test]
fn trust_that_cannot_be_had_refuses_the_start() {
    let Some(witness) = Witness::new() else { return };
    let refused = |run: &mut Command, why: &str| {
        let output = run.output().unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && told.contains(why), "{why}: {told}");
        assert!(!witness.place.join("mark").exists(), "{told}");
    };
    let nothing = witness.place.join("nothing.pem");
    refused(witness.command(&RULES, "touch mark").env(TRUSTED, &nothing), "trusts no certificate");
    // A pattern that hides the files by which programs inside trust the authority is named.
    for pattern in ["/**/*.pem", "/.cofferdam"] {
        let policy = format!("{}[filesystem]\ndeny = [\"{pattern}\"]\n", witness.policy(&RULES));
        refused(&mut witness.under(&policy, &witness.leads(), "touch mark"), pattern);
    }
    let policy = format!("{}[prompt]\nfilesystem.read = [\"/**/*.pem\"]\n", witness.policy(&RULES));
    refused(&mut witness.under(&policy, &witness.leads(), "touch mark"), "by which programs trust");
    let control = ended_by(&mut witness.command(&RULES, "touch mark"));
    assert_eq!(control["exit_code"], 0, "{control}");
}

#[test]
fn an_authority_that_may_sign_for_some_names_alone_does_for_those() {
    let Some(mut witness) = Witness::new() else { return };
    let only = |name: &str| TlsAuthority::with("narrow", &[&format!("nameConstraints=critical,permitted;DNS:{name}")]);
    let (Some(own), Some(other)) = (only("api.test"), only("other.test")) else { return };
    if skip::program("curl").is_none() {
        return;
    }
    witness.authority = own;
    let result = witness.shell(&RULES, "curl -sS https://api.test/v1/x");
    assert_eq!(result["stdout"], "hello api.test\n", "{result}");
    witness.authority = other;
    let output = witness.command(&RULES, "touch mark").output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && told.contains("does not prove api.test"), "{told}");
}
