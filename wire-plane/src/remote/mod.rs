//! The small operations of a plane in another process, as the bridges that they are: the other end of
//! [`SmallBridges`](crate::SmallBridges).

mod answers;
mod bridges;
mod notices;
mod requests;

pub use bridges::RemoteBridges;
pub(crate) use notices::{Heard, Key, Listener, Listeners};
