//! Use cases and transaction boundaries: what must happen together, and in which order. A file for each noun, and the
//! plumbing beside them.

pub mod accounts;
pub mod acts;
pub mod announce;
pub mod batch;
pub mod cache;
pub mod cases;
pub mod catalog;
pub mod clock;
pub mod ctx;
pub mod error;
pub mod events;
pub mod exports;
pub mod images;
pub mod items;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod mirror;
pub mod models;
pub mod queues;
pub mod readiness;
pub mod search;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod tallies;
pub mod training;
pub mod transition;
pub mod versions;
pub mod waiters;
pub mod watch;
pub mod work;
pub mod workers;

pub use ctx::Ctx;
pub use error::{Error, Result};
pub use limits::{Keep, Limits};
