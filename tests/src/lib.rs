//! What the end-to-end tests share: the command under test, throw-away folders, and a look from outside.

#![cfg(target_os = "linux")]

pub mod attack;
pub mod audit;
pub mod changes;
pub mod collector;
pub mod command;
pub mod datagrams;
pub mod host;
pub mod https;
pub mod observe;
pub mod one_shot;
pub mod own_resolver;
pub mod prompted;
pub mod pseudo_terminal;
pub mod scratch;
pub mod session;
pub mod session_host;
pub mod skip;
pub mod tls_authority;
pub mod visitor;
