//! `darkroom migrate`: brings the schema up to date.

use super::exit::Exit;
use crate::config::Database;
use crate::store;

/// Applies what is missing, and says what that was.
pub async fn run(database: &Database) -> anyhow::Result<Exit> {
    let options = database.options()?;
    let applied = store::migrate::migrate(&options).await?;
    match applied.as_slice() {
        [] => eprintln!("the schema is up to date"),
        applied => eprintln!("applied {}", applied.join(", ")),
    }
    let mut db = store::connect(&options).await?;
    if !store::migrate::audit_role_works(&mut db).await? {
        eprintln!("warning: {}\n{}", store::migrate::NO_AUDIT, store::migrate::audit_remedy(&mut db).await?);
    }
    Ok(Exit::Success)
}
