//! The command-line client: it talks HTTP to a Darkroom server and imports nothing else of the crate.
//!
//! Reading order: [`http`] (one request, its retries, its errors) → [`session`] (which server,
//! which token) → [`submit`] with `walk`, `upload` and `verdict` (files to requests, answers to
//! files) → [`outcome`] (what came of it) → [`table`] and [`report`] (how it is shown). [`login`],
//! [`status`] and [`key`] are the other subcommands; [`wire`] is what the server sends.
//!
//! Every subcommand is a clap `Args` struct with `run(self) -> anyhow::Result<Exit>`; [`conclude`]
//! turns that into an exit code. Results go to stdout, everything else to stderr.

pub mod counts;
mod error;
pub mod exit;
pub mod http;
pub mod key;
pub mod login;
pub mod outcome;
mod problem;
pub mod progress;
pub mod report;
mod report_card;
mod report_embed;
mod report_marks;
mod report_result;
mod report_style;
mod report_text;
pub mod session;
pub mod status;
pub mod submit;
mod submit_args;
mod summary;
pub mod table;
mod text;
mod upload;
mod verdict;
mod walk;
pub mod wire;

pub use exit::{Exit, conclude};
