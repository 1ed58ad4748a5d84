//! The work of a worker: claims, completions, releases.

mod claim;
mod complete;
mod finish;
mod release;
mod schemas;
mod take;
mod together;
mod verdict;

pub use claim::{ClaimAnswer, Claims, GivenJob, Matter};
pub use complete::Completions;
pub use finish::Item;
pub use release::release;
pub use take::Claim;
pub use verdict::{Accepted, Done};
