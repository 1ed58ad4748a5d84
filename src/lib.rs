//! Darkroom: a durable queue between photographs and machine-learning models.
//!
//! A photograph's way through the house is straight down and straight up: `http/submit` → `service/submit` →
//! `blob`, `store`, `index`; a job's: `http/work` → `service/work` → `index`, `store`.
//!
//! One noun has one file name on every floor: submit · status (look-ups by MD5) · submissions · jobs · work (claim,
//! complete, release) · workers · models · images · exports · accounts · keys · queues. Who knows the noun and the floor knows the
//! file. Each floor imports only from the floors below it, and a test keeps it so:
//!
//! ```text
//! main → cli            the binary, a file per subcommand
//! app                   composition: config → pools → use cases → router and loops; knows every room
//! http/                 the nouns: routes, extractors, problems; beside them the router, OpenAPI and the server
//! maintenance/          rescue, sweep, due pass, partitions, retention, collector: ticks, bounded in rows and time
//! service/              the nouns: use cases and transaction boundaries; beside them ctx, batch, cache, announce, waiters
//! store/                the nouns: all the SQL; beside them db, place, migrate, settings, ticks, partitions
//! index/                Redis, never the truth
//! blob/                 image bytes
//! derive/               what pixels and EXIF say, worked out in a process of its own: our side, and the other
//! inspect/              what the bytes say they are: a file for each format
//! domain/               value types and pure rules
//! ```
//!
//! Beside the floors: `api` (the wire types, for `http` and `client`); for `cli` and `app` only: `config`,
//! `telemetry`, `dev` (private PostgreSQL and Redis), `client` (talks HTTP only), `report` (a submission as a page). For `service` and `report`: `export` (formats of what is taken away). For `http`: `sdk` (the workers'
//! Python package, which the server hands out).
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
pub mod derive;
pub mod dev;
pub mod domain;
pub mod export;
pub mod http;
pub mod index;
pub mod inspect;
pub mod maintenance;
pub mod metrics;
pub mod report;
pub mod sdk;
pub mod service;
pub mod store;
pub mod telemetry;
