//! Decisions of a run, without one.

use super::*;
use crate::network::resolver::SystemResolver;
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
    let all = tokio::task::JoinSet::from_iter((0..400).map(|number| ask(format!("n{number}.a.test"))));
    let begun = Instant::now();
    let done = tokio::time::timeout(within, all.join_all()).await;
    // 64 at once, and 40 a second: under load fewer, and never more.
    let most = 64 + u32::try_from(begun.elapsed().as_millis() / 25).unwrap() + 1;
    let count = resolver.0.load(std::sync::atomic::Ordering::SeqCst);
    assert!(done.is_err() && count > 0 && count <= most, "{count} of at most {most}");
    // What is remembered costs no turn.
    let known = count;
    for _ in 0..1000 {
        ask("n0.a.test".to_owned()).await.unwrap();
    }
    assert!(resolver.0.load(std::sync::atomic::Ordering::SeqCst) <= known + 9, "only what was under way came after");
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
