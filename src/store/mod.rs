//! All the SQL, and nothing but SQL: no rules, no HTTP, no Redis. A file holds what is asked about its noun.
//!
//! Functions take a connection and never open a transaction; `service` does, through [`Db`]. Every
//! instant that decides anything is PostgreSQL's.

/// The newest-state columns of a `put` row joined with its image and model.
macro_rules! moved_columns {
    () => {
        "p.id, p.image_id, im.md5, p.model, p.lease_no, p.session_id, p.state::text AS state, NULL::text AS reason, p.attempt, m.max_attempts, \
         NULL::float8 AS progress, p.event_id, p.created_at, p.started_at, \
         CASE WHEN p.state = 'queued' THEN p.run_at END AS run_at, NULL::timestamptz AS finished_at, \
         NULL::text AS error_type, NULL::text AS error_message, p.rank, p.due, (p.suspect AND p.state = 'queued') AS suspect, NULL::text AS version, NULL::jsonb AS document"
    };
}

pub mod accounts;
pub mod db;
pub mod images;
pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod models;
pub mod partitions;
pub mod queues;
pub mod retention;
pub mod row;
pub mod settings;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod ticks;
pub mod work;
pub mod workers;

pub use db::{Db, broken_constraint, is_bad_value, is_unavailable};
