//! `darkroom migrate`: brings the schema up to date, and gives the other roles their rights.

use super::exit::Exit;
use crate::client::text;
use crate::config::Databases;
use crate::store::migrate;

/// Applies what is missing as the owner, and says what that was; then settles who may do what. What this role may not do is printed
/// for one that may.
pub async fn run(databases: &Databases) -> anyhow::Result<Exit> {
    let (owner, logins) = databases.roles()?;
    let applied = migrate::migrate(&owner).await?;
    match applied.as_slice() {
        [] => eprintln!("the schema is up to date"),
        applied => eprintln!("applied {}", applied.join(", ")),
    }
    if let Some(why) = migrate::index_texts(&owner).await? {
        eprintln!(
            "file names and texts are searched without an index ({why}): install pg_trgm, of PostgreSQL's own contrib modules, have a \
             superuser run CREATE EXTENSION pg_trgm in this database, and run `darkroom migrate` again"
        );
    }
    let left = migrate::settle_rights(&owner, &logins).await?;
    if left.is_empty() {
        return Ok(Exit::Success);
    }
    eprintln!(
        "the role {:?} may make no roles; run this in the database {:?} as one that may, with passwords in place of the dots:",
        owner.get_username(),
        owner.get_database().unwrap_or(owner.get_username()),
    );
    text::print(&format!("{};\n", left.join(";\n")))?;
    Ok(Exit::SomeFailed)
}
