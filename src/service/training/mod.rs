//! Training runs: started and followed by people, fed by their services.

mod follow;
mod start;

pub use follow::{RunShown, list, wait_for};
pub use start::{EndedRun, RunAsk, RunStarted, again, start};
