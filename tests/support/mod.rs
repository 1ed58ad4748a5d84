//! What every test stands on.

pub mod app;
pub mod client;
pub mod images;
pub mod servers;

pub use app::TestApp;
pub use client::{Answer, Client, Form};
