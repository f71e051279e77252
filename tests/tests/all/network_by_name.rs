//! `network.mode = "allowlist"`: what the policy names is reached by any program with nothing set in its environment, and what it does
//! not name is refused at once, and told by name. The servers are the witness.

use cofferdam_tests::attack::Tier;
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;

/// What `--json` tells of a shell line in the full tier.
#[track_caller]
fn shell(options: &[String], line: &str) -> Value {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Tier::Full.shell(Scratch::new().path(), &options, line)
}

fn stdout(result: &Value) -> &str {
    result["stdout"].as_str().unwrap_or_default()
}

/// The refusal of `subject`, if there is one.
fn denial<'a>(result: &'a Value, subject: &str) -> Option<&'a Value> {
    result["denials"].as_array()?.iter().find(|denial| denial["subject"] == subject)
}

#[track_caller]
fn assert_denied(result: &Value, subject: &str, program: &str) {
    let denial = denial(result, subject).unwrap_or_else(|| panic!("{subject} is not told of: {result}"));
    assert_eq!(denial["program"], program, "{denial}");
    assert!(denial["remedy"].as_str().is_some_and(|remedy| remedy.contains("network.allow")), "{denial}");
}

#[test]
fn p6_a_named_host_is_reached_by_any_program_and_counted() {
    let host = Host::http();
    let port = host.port();
    for (program, line) in [
        ("curl", format!("curl -sS http://api.test:{port}/")),
        ("curl", format!("curl -4 -sS http://API.test.:{port}/ | tr A-Z a-z | sed s/test[.]:/test:/")),
        (
            "python3",
            format!(
                "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://api.test:{port}/\").read().decode(), end=\"\")'"
            ),
        ),
        (
            "python3",
            format!(
                "python3 -c '
import asyncio
async def go():
    r, w = await asyncio.open_connection(\"api.test\", {port})
    w.write(b\"GET / HTTP/1.1\\r\\nHost: api.test:{port}\\r\\n\\r\\n\")
    print((await r.read()).split(b\"\\r\\n\\r\\n\")[1].decode(), end=\"\")
asyncio.run(go())'"
            ),
        ),
        (
            "node",
            format!(
                "node -e 'fetch(\"http://api.test:{port}/\").then(r => r.text()).then(t => process.stdout.write(t))'"
            ),
        ),
    ] {
        if skip::program(program).is_none() {
            continue;
        }
        let before = host.arrived();
        let result = shell(&host.named("api.test"), &line);
        assert_eq!(stdout(&result), format!("hello api.test:{port}\n"), "{line}: {result}");
        assert_eq!(host.arrived(), before + 1, "{line}");
        let counted = &result["network"][0];
        assert_eq!((&counted["host"], &counted["port"]), (&Value::from("api.test"), &Value::from(port)), "{result}");
        assert_eq!(counted["connections"], 1, "{result}");
        assert!(counted["received_bytes"].as_u64().unwrap() > 60 && counted["sent_bytes"].as_u64().unwrap() > 30);
    }
}

#[test]
fn p6_both_families_lead_to_the_name() {
    let host = Host::http();
    if skip::program("curl").is_none() {
        return;
    }
    if !host.has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    let port = host.port();
    for family in ["-4", "-6"] {
        let result = shell(&host.named("api.test"), &format!("curl {family} -sS http://api.test:{port}/"));
        assert_eq!(stdout(&result), format!("hello api.test:{port}\n"), "{family}: {result}");
    }
}

#[test]
fn p6_what_no_rule_names_is_refused_at_once_and_told() {
    let (host, other) = (Host::http(), Host::http());
    if skip::program("curl").is_none() {
        return;
    }
    let (port, closed) = (host.port(), other.port());
    let mut options = host.named("api.test");
    options.extend(other.leads("other.test"));
    let line = format!(
        "curl -sS http://other.test:{port}/; echo $?; curl -sS http://192.0.2.7:{port}/; echo $?; \
         curl -sS http://api.test:{closed}/; echo $?; curl -sS http://127.0.0.1:{closed}/; echo $?"
    );
    let started = std::time::Instant::now();
    let result = shell(&options, &line);
    // Six: no such host. 56 and 7: broken, or refused, whichever it sees first. Seven: refused.
    assert!(["6\n56\n7\n7\n", "6\n7\n7\n7\n"].contains(&stdout(&result)), "{result}");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "nothing waited for an answer that never comes");
    assert_denied(&result, "other.test", "curl");
    assert_denied(&result, &format!("192.0.2.7:{port}"), "curl");
    // Nobody listens there, and the name and port are told all the same.
    assert!(denial(&result, &format!("api.test:{closed}")).is_some(), "{result}");
    assert_eq!((host.arrived(), other.arrived()), (0, 0));
}

#[test]
fn net_14_a_name_that_leads_to_this_machine_or_a_private_network_is_refused_unless_that_is_named() {
    let host = Host::http();
    if skip::program("curl").is_none() {
        return;
    }
    let port = host.port();
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
        "0.0.0.0",
        "64:ff9b::a9fe:a9fe",
    ] {
        let options = [
            "--resolve".to_owned(),
            format!("sly.test={address}"),
            "--allow-net".to_owned(),
            format!("sly.test:{port}"),
        ];
        let result = shell(&options, &format!("curl -sS -m 5 http://sly.test:{port}/; echo $?"));
        assert_eq!(stdout(&result), "6\n", "{address}: {result}");
        assert_denied(&result, "sly.test", "curl");
        assert_eq!(host.arrived(), 0, "{address}: {result}");
    }
    // With one public address among them it is the same: whoever steers a name could wait for the other.
    let mixed = ["--resolve", "sly.test=192.0.2.1", "--resolve", "sly.test=127.0.0.1"].map(str::to_owned);
    let allowed = ["--allow-net".to_owned(), format!("sly.test:{port}")];
    let result = shell(&[&mixed[..], &allowed[..]].concat(), &format!("curl -sS -m 5 http://sly.test:{port}/"));
    assert_eq!((result["exit_code"].as_u64(), host.arrived()), (Some(6), 0), "{result}");
    // Control: the same with a rule that names the address.
    let result = shell(&host.named("sly.test"), &format!("curl -sS -m 5 http://sly.test:{port}/"));
    assert_eq!(result["exit_code"], 0, "{result}");
}

#[test]
fn net_11_services_of_the_host_answer_only_where_a_rule_names_them() {
    let (host, other) = (Host::http(), Host::http());
    if skip::program("curl").is_none() {
        return;
    }
    let line = format!(
        "curl -sS -m 5 http://127.0.0.1:{0}/; curl -sS -m 5 http://localhost:{0}/; curl -sS -m 5 http://127.0.0.1:{1}/; echo $?",
        host.port(),
        other.port()
    );
    let result = shell(&host.dialled(), &line);
    assert_eq!(stdout(&result), format!("hello 127.0.0.1:{0}\nhello localhost:{0}\n7\n", host.port()), "{result}");
    assert_eq!((host.arrived(), other.arrived()), (2, 0));
}
