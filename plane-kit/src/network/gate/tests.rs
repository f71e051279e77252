//! Decisions of a run, without one.

use super::*;
use crate::network::resolver::SystemResolver;
use cofferdam_bridge::verdict::RuleRef;
use std::cell::Cell;

/// Leads every name to an address of the open internet, and counts.
#[derive(Debug, Default)]
struct Counting(std::sync::atomic::AtomicU32);

impl Resolve for Counting {
    fn resolve(&self, _: &str, port: u16) -> Result<Vec<SocketAddr>, LookupFault> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(vec![SocketAddr::new(Ipv4Addr::new(1, 1, 1, 1).into(), port)])
    }
}

#[tokio::test]
async fn net_13_names_below_a_wildcard_leave_no_faster_than_their_pace() {
    let mut profile = NetworkProfile::default();
    let rule = RuleRef::new("t", None, "t");
    profile.allow.push(cofferdam_bridge::profile::NetworkRule::new("*.a.test", 443, 443, rule));
    let resolver = Arc::new(Counting::default());
    let gate = Arc::new(Gate::new(&profile, resolver.clone(), false));
    let ask = |name: String| {
        let gate = gate.clone();
        async move { gate.lookup(&name, 0).await }
    };
    let within = Duration::from_millis(250);
    let all = tokio::task::JoinSet::from_iter((0..4000).map(|number| ask(format!("n{number}.a.test"))));
    let begun = Instant::now();
    let done = tokio::time::timeout(within, all.join_all()).await;
    // 512 at once, and 250 a second: under load fewer, and never more.
    let most = 512 + u32::try_from(begun.elapsed().as_millis() / 4).unwrap() + 1;
    let count = resolver.0.load(std::sync::atomic::Ordering::SeqCst);
    assert!(done.is_err() && count > 0 && count <= most, "{count} of at most {most}");
    // What is remembered costs no turn; it may have to be found out once more.
    for _ in 0..1000 {
        ask("n0.a.test".to_owned()).await.unwrap();
    }
    let count = resolver.0.load(std::sync::atomic::Ordering::SeqCst);
    assert!(count <= most + 1, "{count} of at most {most}: only what was under way came after");
}

#[tokio::test]
async fn net_29_who_asked_is_sought_once_for_each_refusal() {
    let gate = Gate::new(&NetworkProfile::default(), Arc::new(SystemResolver::default()), false);
    let sought = Cell::new(0);
    let program = || {
        sought.set(sought.get() + 1);
        Some("p".to_owned())
    };
    let target = |last: u8| Target::Address(SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), 443));
    for _ in 0..50 {
        assert!(!gate.decide(&target(1), program).await);
    }
    assert_eq!(sought.get(), 1);
    for last in 2..=255 {
        assert!(!gate.decide(&target(last), program).await);
    }
    let (_, denials) = gate.take();
    assert_eq!((denials[0].times, denials[0].program.as_deref()), (Some(50), Some("p")));
    assert_eq!(sought.get(), denials.len(), "none for what is not told any more");
}

#[test]
fn net_22_no_datagrams_go_where_requests_are_looked_at() {
    let rule = || RuleRef::new("t", None, "t");
    let mut profile = NetworkProfile::default();
    profile.datagrams.push(cofferdam_bridge::profile::NetworkRule::new("*.test", 1, 65535, rule()));
    profile.datagrams.push(cofferdam_bridge::profile::NetworkRule::new("localhost", 1, 65535, rule()));
    for (host, port) in [("a.test", 443), ("localhost", 80)] {
        profile.http.push(cofferdam_bridge::profile::HttpRule::new(Vec::new(), host, port, "/v1", rule()));
    }
    let gate = Gate::new(&profile, Arc::new(SystemResolver::default()), false);
    let name = |name: &str, port| Target::Name(name.to_owned(), port);
    let own = |port| Target::Address(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    for (target, goes) in [
        (name("b.test", 443), true),
        (name("a.test", 444), true),
        (own(81), true),
        (name("a.test", 443), false),
        (own(80), false),
    ] {
        assert_eq!(gate.carries(&target, || None), goes, "{target:?}");
    }
    let (_, denials) = gate.take();
    assert_eq!(denials.len(), 2);
    for denial in &denials {
        assert!(denial.remedy.is_none() && denial.note.as_ref().unwrap().contains("HTTP/3"), "{denial:?}");
    }
}

#[test]
fn br_10_a_path_cannot_add_entries_to_the_line_that_would_allow_it() {
    let mut profile = NetworkProfile::default();
    let rule = RuleRef::new("t", None, "t");
    profile.http.push(cofferdam_bridge::profile::HttpRule::new(Vec::new(), "127.0.0.1", 80, "/v1", rule));
    let gate = Gate::new(&profile, Arc::new(SystemResolver::default()), false);
    let target = Target::Address(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 80));
    let asked = b"GET /x%22,%22y HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let refusal = gate.requests(&target).unwrap().take(asked, &mut Vec::new()).unwrap_err();
    gate.refuse_request(&target, &refusal, || None);
    let (_, denials) = gate.take();
    let line = r#"network.http = ["GET http://127.0.0.1:80/x\",\"y"]"#;
    assert_eq!(denials[0].remedy.as_deref(), Some(line));
}

#[test]
fn a_line_is_proposed_where_a_policy_takes_it_and_it_tells_all_that_was_asked() {
    let mut profile = NetworkProfile::default();
    let rule = RuleRef::new("t", None, "t");
    for host in ["localhost", "a.test", "fd00::1"] {
        profile.http.push(cofferdam_bridge::profile::HttpRule::new(Vec::new(), host, 80, "/v1", rule.clone()));
    }
    let gate = Gate::new(&profile, Arc::new(SystemResolver::default()), false);
    let address = |text: &str| Target::Address(text.parse().unwrap());
    let name = Target::Name("a.test".to_owned(), 80);
    let long = format!("GET /folder/{}", "x".repeat(300));
    let method = format!("{} /x", "A".repeat(40));
    for (target, host, asked, proposed) in [
        (&name, "a.test", "GET /x%3fy", Some("GET http://a.test:80/x%3Fy")),
        (&name, "a.test", "M-SEARCH /x%23y?z", Some("M-SEARCH http://a.test:80/x%23y")),
        (&name, "a.test", "GET /%c3%a4", Some("GET http://a.test:80/%C3%A4")),
        (&name, "a.test", "Get /x", None),
        (&name, "a.test", "GET* /x", None),
        (&name, "a.test", &long, None),
        (&name, "a.test", &method, None),
        // Rules and network.allow name it so.
        (&address("127.0.0.1:80"), "127.0.0.1", "GET /x", Some("GET http://localhost:80/x")),
        (&address("[fd00::1]:80"), "[fd00::1]", "GET /x", Some("GET http://[fd00::1]:80/x")),
    ] {
        let text = format!("{asked} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let refusal = gate.requests(target).unwrap().take(text.as_bytes(), &mut Vec::new()).unwrap_err();
        assert!(matches!(refusal, crate::network::http::Refusal::NotAllowed { .. }), "{asked}: {refusal:?}");
        gate.refuse_request(target, &refusal, || None);
        let line = proposed.map(|entry| format!("network.http = [\"{entry}\"]"));
        let told = gate.told_of_request(target, &refusal);
        assert_eq!(told.contains("write in the policy"), line.is_some(), "{asked}: {told}");
        let (_, denials) = gate.take();
        assert_eq!(denials.last().unwrap().remedy, line, "{asked}");
    }
}
