//! The client: it talks HTTP to a Darkroom server, by the types of `api`.
//!
//! Reading order: [`http`] (one request and its retries) with [`error`] and `problem` (what went wrong) → [`submit`] and [`options`]
//! with `walk`, `upload`, `verdict` and `wait` (files to requests, answers to files, until all has ended) → [`outcome`] with [`counts`] and
//! `summary` (what came of it). [`cases`] (where photographs go). [`backfill`] (a model over what is stored). [`training`] and [`follow`] (a run, until it has ended). [`events`] (what changes, as it changes). [`progress`] shows it on a terminal meanwhile.

pub mod backfill;
pub mod cases;
pub mod counts;
pub mod destination;
pub mod error;
pub mod events;
pub mod exports;
pub mod follow;
pub mod http;
pub mod options;
pub mod outcome;
mod problem;
pub mod progress;
pub mod submit;
mod summary;
pub mod text;
pub mod training;
mod upload;
mod verdict;
pub mod wait;
mod walk;
