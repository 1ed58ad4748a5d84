//! Value types and pure rules in the vocabulary of the design. No async, no SQL, no HTTP, and nothing of
//! ours is imported from outside this floor.

pub mod account;
pub mod act;
pub mod address;
pub mod case;
pub mod compare;
pub mod derived;
pub mod exhibit;
pub mod export;
pub mod fault;
pub mod filter;
pub mod history;
pub mod image;
pub mod job;
pub mod json;
mod judge;
pub mod judged_schema;
pub mod key;
pub mod name;
pub mod params;
pub mod result;
pub mod ruling;
pub mod schema;
pub mod text;
pub mod topic;
pub mod training;
pub mod version;
pub mod words;
