//! `darkroom migrate`: brings the schema up to date.

use super::exit::Exit;
use crate::config::Database;
use crate::store;

/// Applies what is missing, and says what that was.
pub async fn run(database: &Database) -> anyhow::Result<Exit> {
    let applied = store::migrate::migrate(&database.options()?).await?;
    match applied.as_slice() {
        [] => eprintln!("the schema is up to date"),
        applied => eprintln!("applied {}", applied.join(", ")),
    }
    Ok(Exit::Success)
}
