//! The one place where a run's wishes for the network meet its policy.

mod target;

pub use self::target::Target;
use super::address_book::{AddressBook, MOST_NAMES};
use super::dial::{self, NotDialled};
use super::inspect::TLS_PORT;
use super::name_message::{Kind, Outcome, Question};
use super::own_address;
use super::resolver::{LookupFault, Resolve};
use super::traffic::{Meter, Traffic};
use super::upstream::Upstream;
use cofferdam_bridge::address_class::AddressClass;
use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::network_rules::{NetworkRules, canonical_name};
use cofferdam_bridge::profile::{NetworkProfile, TlsCheck};
use cofferdam_bridge::verdict::{Denial, RuleRef};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

/// How long what a name leads to is remembered: a program that looks a name up and connects needs one lookup.
const REMEMBERED: Duration = Duration::from_secs(20);
/// How long that it leads nowhere is.
const NOWHERE_REMEMBERED: Duration = Duration::from_secs(2);
/// As much of what is no host as is shown, in characters.
const LONGEST_SHOWN: usize = 80;
/// The longest that a lookup is waited for.
const LOOKUP: Duration = Duration::from_secs(20);

type Found = Result<Vec<SocketAddr>, LookupFault>;

/// How a target is reached.
enum Route<'a> {
    /// By one of these addresses, and no other.
    To(Vec<SocketAddr>),
    /// By name.
    Through(&'a Upstream),
}

/// What a name led to, once it is known, and since when it is sought.
type Remembered = (Instant, Arc<OnceCell<Found>>);

/// Decides for one run, and remembers what it was asked.
#[derive(Debug)]
pub struct Gate {
    rules: NetworkRules,
    resolver: Arc<dyn Resolve>,
    book: Mutex<AddressBook>,
    found: Mutex<HashMap<(String, u16), Remembered>>,
    traffic: Mutex<Traffic>,
    has_v6: bool,
    tls: TlsCheck,
    upstream: Option<Upstream>,
}

impl Gate {
    /// A gate by the rules of `profile`. `has_v6`: the run can use addresses of IPv6.
    pub fn new(profile: &NetworkProfile, resolver: Arc<dyn Resolve>, has_v6: bool) -> Self {
        Self {
            rules: NetworkRules::new(profile),
            resolver,
            book: Mutex::default(),
            found: Mutex::default(),
            traffic: Mutex::default(),
            has_v6,
            tls: profile.tls,
            upstream: None,
        }
    }

    /// Reaches hosts through `upstream`, where it takes them.
    #[must_use]
    pub fn through(mut self, upstream: Option<Upstream>) -> Self {
        self.upstream = upstream;
        self
    }

    /// Answers a question about a name. `program`: who asks, found out only where it is told of.
    pub async fn answer(&self, question: &Question, program: impl FnOnce() -> Option<String>) -> Vec<u8> {
        let end = |outcome| question.answer(outcome, &[]);
        let Some(name) = canonical_name(&question.name) else {
            self.refuse_name(&question.name, None, program);
            return end(Outcome::NoSuchName);
        };
        if name == "localhost" || name.ends_with(".localhost") {
            return match question.kind {
                Kind::A => question.answer(Outcome::Fine, &[Ipv4Addr::LOCALHOST.into()]),
                Kind::Aaaa if self.has_v6 => question.answer(Outcome::Fine, &[Ipv6Addr::LOCALHOST.into()]),
                _ => end(Outcome::Fine),
            };
        }
        if self.rules.name(&name, None).is_none() {
            self.refuse_name(&name, None, program);
            return end(if matches!(question.kind, Kind::Other(_)) { Outcome::Refused } else { Outcome::NoSuchName });
        }
        match question.kind {
            Kind::A | Kind::Aaaa => {}
            // How a service is reached is said by its addresses alone: no other port, no encrypted hello, no HTTP/3.
            Kind::Service => return end(Outcome::Fine),
            Kind::Other(_) => return end(Outcome::Refused),
        }
        // Before it is asked about outside: each question may carry something out.
        let entered = lock(&self.book).enter(&name);
        let Some((four, six)) = entered else {
            self.refuse_more_names(&name, program);
            return end(Outcome::Failed);
        };
        let found = match self.lookup(&name, 0).await {
            Ok(found) => found,
            // A proxy may know more names than this host.
            Err(_) if self.upstream_of(&name).is_some() => {
                return match question.kind {
                    Kind::A => question.answer(Outcome::Fine, &[four.into()]),
                    _ => end(Outcome::Fine),
                };
            }
            Err(LookupFault::NoSuchName) => return end(Outcome::NoSuchName),
            Err(LookupFault::Failed) => return end(Outcome::Failed),
        };
        // Where no port would do there is nothing to connect to: better to hear it now.
        if let Some((address, class)) = self.never_dialled(&found) {
            self.refuse_name(&name, Some((address, class)), program);
            return end(Outcome::NoSuchName);
        }
        let has = |six: bool| found.iter().any(|address| address.ip().to_canonical().is_ipv6() == six);
        match question.kind {
            Kind::A if has(false) => question.answer(Outcome::Fine, &[four.into()]),
            Kind::Aaaa if has(true) && self.has_v6 => question.answer(Outcome::Fine, &[six.into()]),
            _ => end(Outcome::Fine),
        }
    }

    /// What a run means that connects to `dialled`.
    pub fn target(&self, dialled: SocketAddr) -> Target {
        let address = dialled.ip().to_canonical();
        match lock(&self.book).name(address) {
            Some(name) => Target::Name(name.to_owned(), dialled.port()),
            None => Target::Address(SocketAddr::new(address, dialled.port())),
        }
    }

    /// The meter of a target.
    pub fn meter(&self, target: &Target) -> Arc<Meter> {
        lock(&self.traffic).meter(&target.host(), target.port())
    }

    /// Whether `target` may be connected to; a refusal is noted.
    pub fn decide(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> bool {
        let rule = match target {
            Target::Name(name, port) => self.rules.name(name, Some(*port)),
            Target::Address(address) if AddressBook::is_own(address.ip()) => None,
            Target::Address(address) => self.rules.address(address.ip(), address.port()),
        };
        if rule.is_none() {
            self.refuse(target, None, program);
        }
        rule.is_some()
    }

    /// Whether a run may ask for `name`, which is canonical and allowed: so many names it may, each of which may carry something out.
    pub fn may_ask(&self, name: &str, program: impl FnOnce() -> Option<String>) -> bool {
        let entered = lock(&self.book).enter(name).is_some();
        if !entered {
            self.refuse_more_names(name, program);
        }
        entered
    }

    /// Notes that `host` was asked for, which is no name and no address in the one spelling that is compared.
    pub fn refuse_spelling(&self, host: &str, program: impl FnOnce() -> Option<String>) {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.:[]%@".contains(letter);
        let shown: String = host.chars().take(LONGEST_SHOWN).map(|one| if fine(one) { one } else { '?' }).collect();
        let mut denial = Denial::new("network.connect", shown);
        denial.note = Some("this is no name of a host, and no address as it is usually written".to_owned());
        self.note(denial, program);
    }

    /// Whether `target`, which [`decide`](Self::decide) allowed, leads to somewhere that may be dialled. Nothing is dialled yet.
    ///
    /// # Errors
    /// As [`dial`](Self::dial), but `Failed`.
    pub async fn leads(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> Result<(), NotDialled> {
        self.route(target, program).await.map(drop)
    }

    /// Connects to a target that [`decide`](Self::decide) allowed. What its name leads to is looked at here, and just that is dialled.
    ///
    /// # Errors
    /// Why there is no connection; a refusal is noted.
    pub async fn dial(
        &self,
        target: &Target,
        program: impl FnOnce() -> Option<String>,
    ) -> Result<TcpStream, NotDialled> {
        match self.route(target, program).await? {
            Route::To(addresses) => dial::first_of(addresses).await,
            Route::Through(upstream) => upstream.connect(&target.host(), target.port()).await,
        }
    }

    /// How a target that was allowed is reached.
    async fn route(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> Result<Route<'_>, NotDialled> {
        let (name, port) = match target {
            Target::Address(address) => return Ok(Route::To(vec![*address])),
            Target::Name(name, port) => (name, *port),
        };
        let upstream = self.upstream_of(name);
        let found = match (self.lookup(name, port).await, upstream) {
            (Ok(found), _) => found,
            (Err(_), Some(upstream)) => return Ok(Route::Through(upstream)),
            (Err(_), None) => return Err(NotDialled::Unresolved),
        };
        // One address among others that must not be dialled is a sign of somebody who steers the name.
        let barred = found.iter().find_map(|address| self.barred(*address).map(|class| (*address, class)));
        if let Some((address, class)) = barred {
            self.refuse(target, Some((address, class)), program);
            return Err(NotDialled::Refused);
        }
        // What leads to this machine itself no proxy can reach.
        let own = found.iter().all(|address| address.ip().to_canonical().is_loopback());
        Ok(match upstream.filter(|_| !own) {
            Some(upstream) => Route::Through(upstream),
            None => Route::To(found),
        })
    }

    /// What is looked at of a connection to `target` before it is dialled, and the name that it goes to.
    pub fn inspected<'a>(&self, target: &'a Target) -> Option<(&'a str, TlsCheck)> {
        match target {
            Target::Name(name, TLS_PORT) if self.tls != TlsCheck::Opaque => Some((name, self.tls)),
            _ => None,
        }
    }

    /// Notes that a connection was refused for `why`, a sentence.
    pub fn refuse_for(&self, target: &Target, why: &str, remedy: &str, program: impl FnOnce() -> Option<String>) {
        let mut denial = Denial::new("network.connect", target.entry());
        denial.remedy = Some(remedy.to_owned());
        denial.note = Some(why.to_owned());
        self.note(denial, program);
    }

    /// Notes a refusal. Who asked is sought for a new one alone: it is slow, and everybody else in the network waits meanwhile.
    fn note(&self, mut denial: Denial, program: impl FnOnce() -> Option<String>) {
        if lock(&self.traffic).is_new(&denial) {
            denial.program = program();
        }
        lock(&self.traffic).refused(denial);
    }

    /// Notes that a datagram was not carried.
    pub fn refuse_datagram(&self, target: &Target) {
        let mut denial = Denial::new("network.send", format!("{}/udp", target.entry()));
        denial.note = Some("datagrams are not carried; what speaks HTTP/3 falls back to TCP by itself".to_owned());
        lock(&self.traffic).refused(denial);
    }

    /// What has happened since it was last taken.
    pub fn take(&self) -> (Vec<HostTraffic>, Vec<Denial>) {
        lock(&self.traffic).take()
    }

    /// The rule that lets `target` through.
    pub fn rule(&self, target: &Target) -> Option<&RuleRef> {
        match target {
            Target::Name(name, port) => self.rules.name(name, Some(*port)),
            Target::Address(address) => self.rules.address(address.ip(), address.port()),
        }
    }

    fn refuse(
        &self,
        target: &Target,
        barred: Option<(SocketAddr, AddressClass)>,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.connect", target.entry());
        denial.remedy = Some(line(&target.entry()));
        if let Some((address, class)) = barred {
            let address = Target::Address(address).entry();
            denial.resolved = Some(address.clone());
            denial.remedy = Some(line(&address));
            denial.note = Some(format!("the name leads to {}, which a rule must name itself", class.told()));
        }
        self.note(denial, program);
    }

    /// A name that was looked up and is not answered.
    fn refuse_name(
        &self,
        name: &str,
        barred: Option<(SocketAddr, AddressClass)>,
        program: impl FnOnce() -> Option<String>,
    ) {
        let mut denial = Denial::new("network.resolve", name);
        match barred {
            None => {
                denial.remedy = canonical_name(name).map(|name| line(&format!("{name}:443")));
                denial.note = Some("the name was looked up, for which port is not known; 443 stands for it".to_owned());
            }
            Some((address, class)) => {
                let port = self.rules.ports().next().map_or(443, |ports| *ports.start());
                let address = Target::Address(SocketAddr::new(address.ip(), port)).entry();
                denial.resolved = Some(address.clone());
                denial.remedy = Some(line(&address));
                denial.note = Some(format!("the name leads to {}, which a rule must name itself", class.told()));
            }
        }
        self.note(denial, program);
    }

    /// A name that is one too many.
    fn refuse_more_names(&self, name: &str, program: impl FnOnce() -> Option<String>) {
        let mut denial = Denial::new("network.resolve", name);
        denial.note = Some(format!(
            "a run may ask for {MOST_NAMES} names, and this one has; name what it needs without a wildcard"
        ));
        self.note(denial, program);
    }

    /// An address among `found` that no rule names on any port and that is none of the open internet's.
    fn never_dialled(&self, found: &[SocketAddr]) -> Option<(SocketAddr, AddressClass)> {
        found.iter().find_map(|address| {
            let class = AddressClass::of(address.ip())
                .or_else(|| own_address::is_own(address.ip()).then_some(AddressClass::ThisMachine))?;
            (!self.rules.names_address(address.ip())).then_some((*address, class))
        })
    }

    /// What keeps `address`, to which a name led, from being dialled.
    fn barred(&self, address: SocketAddr) -> Option<AddressClass> {
        let (ip, port) = (address.ip(), address.port());
        match self.rules.dialled(ip, port) {
            Err(class) => Some(class),
            Ok(()) if self.rules.address(ip, port).is_some() => None,
            Ok(()) => own_address::is_own(ip).then_some(AddressClass::ThisMachine),
        }
    }

    fn upstream_of(&self, name: &str) -> Option<&Upstream> {
        self.upstream.as_ref().filter(|upstream| upstream.takes(name))
    }

    /// What `name` leads to, looked up once for all who ask at the same time.
    async fn lookup(&self, name: &str, port: u16) -> Found {
        let cell = {
            let mut found = lock(&self.found);
            let now = Instant::now();
            found.retain(|_, (until, cell)| *until > now || cell.get().is_none());
            let fresh = || (now + REMEMBERED, Arc::default());
            found.entry((name.to_owned(), port)).or_insert_with(fresh).1.clone()
        };
        let looked_up = cell.get_or_init(|| async {
            let (resolver, own) = (self.resolver.clone(), name.to_owned());
            let task = tokio::task::spawn_blocking(move || resolver.resolve(&own, port));
            match tokio::time::timeout(LOOKUP, task).await {
                Ok(Ok(found)) => found,
                // Too slow, or the resolver itself gave up.
                _ => Err(LookupFault::Failed),
            }
        });
        let found = looked_up.await.clone();
        if found.is_err()
            && let Some((until, _)) = lock(&self.found).get_mut(&(name.to_owned(), port))
        {
            *until = (*until).min(Instant::now() + NOWHERE_REMEMBERED);
        }
        found
    }
}

fn line(entry: &str) -> String {
    format!("network.allow = [\"{entry}\"]")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address as the program dialled it, told of a socket of either family.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::resolver::SystemResolver;
    use std::cell::Cell;

    #[test]
    fn net_29_who_asked_is_sought_once_for_each_refusal() {
        let gate = Gate::new(&NetworkProfile::default(), Arc::new(SystemResolver::default()), false);
        let sought = Cell::new(0);
        let program = || {
            sought.set(sought.get() + 1);
            Some("p".to_owned())
        };
        let target = |last: u8| Target::Address(SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), 443));
        for _ in 0..50 {
            assert!(!gate.decide(&target(1), program));
        }
        assert_eq!(sought.get(), 1);
        for last in 2..=255 {
            assert!(!gate.decide(&target(last), program));
        }
        let (_, denials) = gate.take();
        assert_eq!((denials[0].times, denials[0].program.as_deref()), (Some(50), Some("p")));
        assert_eq!(sought.get(), denials.len(), "none for what is not told any more");
    }
}
