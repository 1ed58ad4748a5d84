//! Who plays: servers, workers, trainers and producers, each a process of its own, and the ways between them.

pub mod api;
pub mod part;
pub mod prober;
pub mod producer;
pub mod researcher;
pub mod servers;
pub mod session;
pub mod trainer;
pub mod worker;
