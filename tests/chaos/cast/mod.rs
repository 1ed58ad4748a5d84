//! Who plays: servers, workers and producers, each a process of its own, and the ways between them.

pub mod api;
pub mod part;
pub mod prober;
pub mod producer;
pub mod servers;
pub mod worker;
