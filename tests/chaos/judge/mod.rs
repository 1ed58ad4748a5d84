//! Who judges: the books of what everybody was told, a watcher that looks on, and the verdict over both.

pub mod ledger;
pub mod recovery;
pub mod report;
pub mod training;
pub mod verdict;
pub mod watch;
