//! All the SQL, and nothing but SQL: no rules, no HTTP, no Redis. A file holds what is asked about its noun; a statement over
//! ten lines is a file `sql/<noun>/<verb>.sql`.
//!
//! Functions take a connection and never open a transaction; `service` does, through [`Db`]. Every
//! instant that decides anything is PostgreSQL's. Locks are taken in one order everywhere: case, submission, image, queue,
//! session, job, claim, outcome, each by key; and a statement that waits for several rows of a kind takes them in order of their keys.

pub mod accounts;
pub mod acts;
pub mod cases;
pub mod db;
pub mod derived;
pub mod epoch;
pub mod exports;
pub mod figures;
pub mod images;
pub mod items;
pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod models;
pub mod partitions;
pub mod place;
pub mod queues;
pub mod retention;
pub mod rights;
pub mod search;
pub mod settings;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod tallies;
pub mod ticks;
pub mod training;
pub mod versions;
pub mod work;
pub mod workers;

pub use db::{
    Db, attempt, broken_constraint, connect, is_bad_value, is_crossed, is_timed_out, is_unavailable, unreached,
};
