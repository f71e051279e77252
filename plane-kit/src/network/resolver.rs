//! What a name leads to outside.

use super::system_resolver;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupFault {
    /// There is no such name, or it has no address.
    NoSuchName,
    /// It could not be found out now.
    Failed,
}

/// Looks names up for a run.
///
/// Called on a thread that may block, with names that the policy allows. What it answers is looked at before it is dialled: it opens
/// nothing by itself.
pub trait Resolve: Debug + Send + Sync {
    /// Where `port` of `name`, which is canonical, is to be dialled. Port 0: only the addresses are of interest.
    ///
    /// # Errors
    /// Why there is nothing to dial.
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupFault>;
}

/// The system's own resolver, getaddrinfo(3): its hosts file, its name services, its search domains.
///
/// Not a resolver library: inside, a name shall mean what it means to other programs of the host, with split horizons and whatever
/// nsswitch.conf(5) says; and no parser of foreign answers is added to the process that holds the sandbox.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupFault> {
        Ok(system_resolver::addresses(name)?.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

/// Answers of the host's own for some names, before another resolver is asked.
#[derive(Debug)]
pub struct FixedNames<R> {
    answers: Vec<FixedName>,
    otherwise: R,
}

/// One answer of the host's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedName {
    name: String,
    port: Option<u16>,
    address: IpAddr,
    other_port: Option<u16>,
}

impl FixedName {
    /// `name`, on `port` alone if one is given, leads to `address`, and to `other_port` there if one is given.
    /// `*.name` are all names below it.
    pub fn new(name: impl Into<String>, port: Option<u16>, address: IpAddr, other_port: Option<u16>) -> Self {
        Self { name: name.into(), port, address, other_port }
    }

    fn is_about(&self, name: &str) -> bool {
        match self.name.strip_prefix('*') {
            Some(end) => name.len() > end.len() && name.ends_with(end),
            None => self.name == name,
        }
    }
}

impl<R> FixedNames<R> {
    /// `answers` come first; `otherwise` is asked about every other name.
    pub fn new(answers: Vec<FixedName>, otherwise: R) -> Self {
        Self { answers, otherwise }
    }
}

impl<R: Resolve> Resolve for FixedNames<R> {
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupFault> {
        let own = self.answers.iter().filter(|answer| answer.is_about(name));
        let fits = own.filter(|answer| port == 0 || answer.port.is_none_or(|own| own == port));
        let found: Vec<SocketAddr> =
            fits.map(|answer| SocketAddr::new(answer.address, answer.other_port.unwrap_or(port))).collect();
        if found.is_empty() { self.otherwise.resolve(name, port) } else { Ok(found) }
    }
}
