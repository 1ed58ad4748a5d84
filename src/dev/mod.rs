//! Private PostgreSQL and Redis for development, the demo and the tests: real servers on Unix sockets of
//! their own, which cannot clash with anything that runs, and which end with the process that started them.

mod alone;
pub mod find;
mod folder;
pub mod install;
pub mod postgres;
pub mod process;
pub mod python;
pub mod redis;

pub use alone::Alone;
pub use folder::{FOLDER, data_folder, own_folder, private_file, private_folder, reachable_folder};
pub use postgres::Postgres;
pub use redis::Redis;
