//! A policy: whatever is read is refused with a place, or is compiled to the same profile each time and decides without a fault.

#![no_main]

use cofferdam_kernel::policy::{Access, NoFiles, Placeholders, Policy};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

fuzz_target!(|text: &str| {
    let Ok(policy) = Policy::parse(text, "fuzz.toml", &NoFiles) else { return };
    let mut places = Placeholders::default();
    places.workspace = Some("/w".to_owned());
    places.home = Some("/home/u".to_owned());
    places.user = Some("u".to_owned());
    let host = BTreeMap::from([("LD_PRELOAD".to_owned(), "x".to_owned()), ("LANG".to_owned(), "C".to_owned())]);
    let Ok(compiled) = policy.compile(&places, &host) else { return };
    let set = text.contains("LD_PRELOAD");
    assert!(set || !compiled.environment.contains_key("LD_PRELOAD"), "a variable that loads code crossed by itself");
    let again = policy.compile(&places, &host).expect("compiled before");
    assert_eq!(compiled.profile, again.profile);
    for path in ["/", "/w", "/w/.git/hooks/x", "/etc/shadow", "/home/u/.ssh/id_ed25519", "/tmp/x"] {
        for access in [Access::Read(path.to_owned()), Access::Write(path.to_owned()), Access::Execute(path.to_owned())]
        {
            let decision = compiled.decide(&access).expect("an absolute, normalised path is decided about");
            drop(decision.explain(&access));
        }
    }
    drop(compiled.decide(&Access::Connect("example.org".to_owned(), 443)));
});
