//! The one place where a run's wishes for the network meet its policy.

mod asking;
mod datagrams;
mod refusals;
mod target;

use self::asking::Asking;
pub use self::target::Target;
use super::address_book::AddressBook;
use super::dial::{self, NotDialled};
use super::http::Requests;
use super::https::{Authority, Ending};
use super::inspect::TLS_PORT;
use super::name_message::{Kind, Outcome, Question};
use super::own_address;
use super::pace::Pace;
use super::resolver::{LookupFault, Resolve};
use super::traffic::{Meter, Traffic};
use super::upstream::Upstream;
use cofferdam_bridge::address_class::AddressClass;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::network_rules::{HttpRules, NetworkRules, canonical_name};
use cofferdam_bridge::profile::{NetworkProfile, PromptProfile, TlsCheck};
use cofferdam_bridge::verdict::Denial;
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
    datagrams: NetworkRules,
    http: HttpRules,
    pace: Mutex<Pace>,
    resolver: Arc<dyn Resolve>,
    book: Mutex<AddressBook>,
    found: Mutex<HashMap<(String, u16), Remembered>>,
    traffic: Mutex<Traffic>,
    has_v6: bool,
    tls: TlsCheck,
    upstream: Option<Upstream>,
    asking: Asking,
    ending: Option<Ending>,
}

impl Gate {
    /// A gate by the rules of `profile`. `has_v6`: the run can use addresses of IPv6.
    pub fn new(profile: &NetworkProfile, resolver: Arc<dyn Resolve>, has_v6: bool) -> Self {
        Self {
            rules: NetworkRules::new(profile),
            datagrams: NetworkRules::datagrams(profile),
            http: HttpRules::new(profile),
            pace: Mutex::default(),
            resolver,
            book: Mutex::default(),
            found: Mutex::default(),
            traffic: Mutex::default(),
            has_v6,
            tls: profile.tls,
            upstream: None,
            asking: Asking::default(),
            ending: None,
        }
    }

    /// Reaches hosts through `upstream`, where it takes them.
    #[must_use]
    pub fn through(mut self, upstream: Option<Upstream>) -> Self {
        self.upstream = upstream;
        self
    }

    /// Asks the host about what `prompts` names and no rule allows.
    #[must_use]
    pub fn asking(mut self, prompts: &PromptProfile) -> Self {
        self.asking = Asking::new(prompts);
        self
    }

    /// Ends TLS by `authority`, where rules are about what is inside it.
    #[must_use]
    pub fn ending_tls_by(mut self, authority: Option<Arc<Authority>>) -> Self {
        self.ending = authority.map(Ending::new);
        self
    }

    /// What ends TLS.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// A run has begun that `host` is asked for; `run`: its number.
    pub fn begin(&self, run: i32, host: Arc<dyn ExecutionEventSink>) {
        self.asking.begin(run, host);
    }

    /// It has ended.
    pub fn end(&self, run: i32) {
        self.asking.end(run);
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
        let allowed = [&self.rules, &self.datagrams].iter().any(|rules| rules.name(&name, None).is_some());
        if !allowed && !self.asking.knows(&name) {
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
        if !allowed {
            // Nothing of it leaves before the host has said yes, which it is asked when its port is known.
            return match question.kind {
                Kind::A => question.answer(Outcome::Fine, &[four.into()]),
                _ => end(Outcome::Fine),
            };
        }
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

    fn allows(&self, target: &Target) -> bool {
        target.rule_among(&self.rules).is_some()
    }

    /// Notes a connection that came to nothing already, where no rule allows it.
    pub fn attempted(&self, target: &Target) {
        if !self.allows(target) {
            self.refuse(target, None, || None);
        }
    }

    /// Whether `target` may be connected to; a refusal is noted. Where the policy says so the host is asked, and waited for.
    pub async fn decide(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> bool {
        if self.allows(target) {
            return true;
        }
        let Some(asked) = self.asking.rule(target) else {
            self.refuse(target, None, program);
            return false;
        };
        let program = program();
        let outcome = self.asking.ask(target, asked, program.clone()).await;
        if !outcome.is_allowed() {
            self.refuse_asked(target, asked, outcome, program);
        }
        outcome.is_allowed()
    }

    /// Whether a run may ask for `name`, which is canonical and allowed: so many names it may, each of which may carry something out.
    pub fn may_ask(&self, name: &str, program: impl FnOnce() -> Option<String>) -> bool {
        let entered = lock(&self.book).enter(name).is_some();
        if !entered {
            self.refuse_more_names(name, program);
        }
        entered
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
        if let Some((address, class)) = barred_among(&found, &self.rules) {
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

    /// What reads the requests of a connection to `target`, where rules name it.
    pub fn requests(&self, target: &Target) -> Option<Requests> {
        let (host, port) = (target.host(), target.port());
        self.http.of(&host, port).map(|rules| Requests::new(&host, port, rules))
    }

    /// What has happened since it was last taken.
    pub fn take(&self) -> (Vec<HostTraffic>, Vec<Denial>) {
        lock(&self.traffic).take()
    }

    /// An address among `found` that no rule names on any port and that is none of the open internet's.
    fn never_dialled(&self, found: &[SocketAddr]) -> Option<(SocketAddr, AddressClass)> {
        found.iter().find_map(|address| {
            let class = AddressClass::of(address.ip())
                .or_else(|| own_address::is_own(address.ip()).then_some(AddressClass::ThisMachine))?;
            let named = [&self.rules, &self.datagrams].iter().any(|rules| rules.names_address(address.ip()));
            (!named).then_some((*address, class))
        })
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
            let wait = lock(&self.pace).turn(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first of `found`, to which a name led, that must not be reached by it, and why.
fn barred_among(found: &[SocketAddr], rules: &NetworkRules) -> Option<(SocketAddr, AddressClass)> {
    let barred = |ip: IpAddr, port: u16| match rules.dialled(ip, port) {
        Err(class) => Some(class),
        Ok(()) if rules.address(ip, port).is_some() => None,
        Ok(()) => own_address::is_own(ip).then_some(AddressClass::ThisMachine),
    };
    found.iter().find_map(|address| barred(address.ip(), address.port()).map(|class| (*address, class)))
}

/// An address as the program dialled it, told of a socket of either family.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
