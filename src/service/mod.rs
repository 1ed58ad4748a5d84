//! Use cases and transaction boundaries: what must happen together, and in which order.

pub mod accounts;
pub mod announce;
pub mod auth;
pub mod batch;

pub mod claim;
pub mod complete;
pub mod ctx;
pub mod error;
pub mod jobs;
pub mod keys;
pub mod lookup;
pub mod models;
pub mod register;
pub mod remember;
pub mod submit;

pub use ctx::{Ctx, Keep, Limits};
pub use error::{Error, Result};
