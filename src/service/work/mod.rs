//! The work of a worker: claims, completions, releases.

mod claim;
mod complete;
mod release;
mod take;
mod verdict;

pub use claim::{Answer, claim};
pub use complete::{Completion, Item, complete};
pub use release::release;
pub use take::{Claim, Taken, Taking};
pub use verdict::{Accepted, Done};
