//! Darkroom: a durable queue between photographs and machine-learning models.
//!
//! A photograph's way through the house is straight down and straight up: `http/submit` → `service/submit` →
//! `blob`, `store`, `index`; a job's: `http/work` → `service/claim` → `index`, `store`.
//!
//! Each floor imports only from the floors below it, and a test keeps it so:
//!
//! ```text
//! main → cli            the binary, one file per subcommand
//! app                   composition: config → pools → router and loops; knows every room
//! http/                 router, OpenAPI, problems, extractors; one file per noun
//! maintenance/          rescue, sweep, due pass, partitions, collector: ticks, bounded in rows and time
//! service/              use cases and transaction boundaries
//! store/                all the SQL
//! index/                Redis, never the truth
//! blob                  image bytes
//! domain/               value types and pure rules
//! ```
//!
//! Beside the floors: `api` (the wire types, for `http` and `client`); for `cli` and `app` only: `config`,
//! `telemetry`, `dev` (private PostgreSQL and Redis), `client` (talks HTTP only).
//!
//! # Invariants
//! - PostgreSQL is the truth; losing Redis loses no job and no result.
//! - Only the database's clock decides leases, deadlines, order and identity.
//! - An ended job never lives again; per job one result is accepted.
//! - Nothing is acknowledged before its COMMIT, and nothing is pushed or mirrored before it either.

pub mod api;
pub mod app;
pub mod blob;
pub mod cli;
pub mod client;
pub mod config;
pub mod dev;
pub mod domain;
pub mod http;
pub mod index;
pub mod inspect;
pub mod maintenance;
pub mod metrics;
pub mod service;
pub mod store;
pub mod telemetry;
