//! The network by name, for planes that stand between a run and the network. Knows no namespaces.
//!
//! A run looks a name up and gets an address of its own for it ([`name_server`], [`address_book`]). When it connects there, the
//! address tells the name again; [`gate`] decides by the policy's rules, resolves the name outside ([`resolver`]), looks at the very
//! addresses that are dialled ([`dial`]), and the bytes are carried both ways ([`carry`]). Where the policy wants it, the first
//! bytes are read, so that a TLS connection goes to the name that it names ([`client_hello`]); nothing is decrypted but what rules about requests with `https` name ([`https`]).
//!
//! Where a run has no network of its own it finds a proxy at a port of loopback instead ([`local_proxy`]), which asks the same gate.
//!
//! Datagrams go by flows, each with a socket of its own outside ([`datagrams`]).
//!
//! Everything runs on one thread for each run, with a runtime of its own ([`worker`]): it sleeps while nothing happens, and what one
//! run does holds up no other. A run whose policy names no host has none of this.

pub mod accept;
pub mod address_book;
pub mod carry;
pub mod client_hello;
pub mod connection;
pub mod datagrams;
pub mod dial;
pub mod gate;
mod head_end;
pub mod http;
#[cfg(feature = "https")]
pub mod https;
#[cfg(not(feature = "https"))]
#[path = "https_absent.rs"]
pub mod https;
pub mod inspect;
pub mod local_proxy;
pub mod name_message;
pub mod name_server;
mod own_address;
mod pace;
pub mod resolver;
mod response_head;
pub mod room;
mod splice;
mod system_resolver;
pub mod traffic;
mod unpaced;
pub mod upstream;
pub mod worker;
