//! Migrations: refinery over sqlx's own connection, so that no second PostgreSQL driver is needed.

use std::collections::HashMap;

use anyhow::{Context, bail};
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use refinery_core::{Migration, Report};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::db::unreached;
use super::rights::{self, Logins};

/// The newest migration this program knows. Raise it with every file added under `migrations/`: refinery's
/// macro does not notice new files by itself.
pub const LATEST: i32 = 1;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Serialises migrating programs; any constant would do.
const LOCK: i64 = 7_201_117;

/// How long a migration waits for a table that is in use: whoever comes after it waits behind it.
const LOCK_WAIT: &str = "3s";

/// The one connection that may change the schema; another program waits here until it is closed.
async fn alone(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await.with_context(|| unreached(options))?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(LOCK_WAIT).execute(&mut connection).await?;
    Ok(connection)
}

/// Brings the database up to [`LATEST`] on one direct connection, and returns what was applied.
pub async fn migrate(options: &PgConnectOptions) -> anyhow::Result<Vec<String>> {
    let mut connection = alone(options).await?;
    refuse_unreleased(&mut connection).await?;
    let report = apply(&mut connection).await.map_err(|error| {
        let in_use = error.chain().any(|cause| cause.downcast_ref().is_some_and(is_lock_timeout));
        if in_use { error.context("a table is in use; run `darkroom migrate` again") } else { error }
    })?;
    // Before any traffic: attaching the partition of today fails the inserts that are on their way to DEFAULT.
    super::partitions::make_partitions(&mut connection, super::partitions::MONTHS_AHEAD)
        .await
        .context("cannot make partitions")?;
    connection.close().await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Makes the indexes of names and texts that a migration could not; answers why it cannot either.
pub async fn index_texts(options: &PgConnectOptions) -> anyhow::Result<Option<String>> {
    let mut connection = alone(options).await?;
    let why = sqlx::query_scalar("SELECT index_texts()").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(why)
}

async fn apply(connection: &mut PgConnection) -> anyhow::Result<Report> {
    refuse_altered(connection).await?;
    Ok(embedded::migrations::runner().run_async(&mut Adapter(connection)).await?)
}

/// Settles the rights of the roles besides the owner; answers what is left for somebody who may.
pub async fn settle_rights(owner: &PgConnectOptions, logins: &Logins) -> anyhow::Result<Vec<String>> {
    let mut connection = alone(owner).await?;
    let left = rights::settle(&mut connection, logins).await.context("cannot give the roles their rights")?;
    connection.close().await?;
    Ok(left)
}

/// Refuses a database whose schema is not the one this program was built for, or which does not keep what
/// it says it kept.
pub async fn check(connection: &mut PgConnection) -> anyhow::Result<()> {
    refuse_unreleased(connection).await?;
    let found = version(connection).await;
    if found.as_ref().is_err_and(|e| e.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "42501")) {
        bail!(
            "the role of DATABASE_URL has no rights on the tables; run `darkroom migrate` with DARKROOM_OWNER_URL set as well"
        );
    }
    match found? {
        None => bail!("the database has no schema yet; run `darkroom migrate`"),
        Some(found) if found < LATEST => {
            bail!("the database has schema {found}, this program needs {LATEST}; run `darkroom migrate`")
        }
        Some(found) if found > LATEST => {
            bail!("the database has schema {found}, this program knows only {LATEST}; run a newer darkroom")
        }
        Some(_) => refuse_altered(connection).await?,
    }
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut *connection).await?;
        if value == "off" || (setting == "synchronous_commit" && value == "local") {
            bail!("PostgreSQL runs with {setting} = {value}, so an accepted job could be lost; set it to on");
        }
    }
    Ok(())
}

/// Refuses a database made before the first release, whose jobs this program cannot read.
async fn refuse_unreleased(connection: &mut PgConnection) -> anyhow::Result<()> {
    // A table that only that schema had.
    let (unreleased, name): (bool, String) =
        sqlx::query_as("SELECT to_regclass('image_model') IS NOT NULL, current_database()::text")
            .fetch_one(connection)
            .await?;
    if unreleased {
        bail!(
            "the database {name:?} was made by a version before the first release, and cannot be brought up to this one; \
             nothing was changed. To start afresh, without its jobs and results: {}",
            afresh(&name)
        );
    }
    Ok(())
}

/// Refuses a database whose schema was made from other migrations than this program carries under the same numbers.
async fn refuse_altered(connection: &mut PgConnection) -> anyhow::Result<()> {
    if version(connection).await?.is_none() {
        return Ok(());
    }
    let runner = embedded::migrations::runner();
    let carried: HashMap<i32, String> =
        runner.get_migrations().iter().map(|m| (m.version(), m.checksum().to_string())).collect();
    let applied: Vec<(i32, String, String)> =
        sqlx::query_as("SELECT version, checksum, current_database()::text FROM refinery_schema_history")
            .fetch_all(connection)
            .await?;
    let altered =
        |(version, checksum, _): &&(i32, String, String)| carried.get(version).is_some_and(|own| own != checksum);
    match applied.iter().find(altered) {
        None => Ok(()),
        Some((version, _, name)) => bail!(
            "the database {name:?} was made by another build of this program, whose migration {version} differs; nothing was changed. \
             Run the build that made it; or start afresh, without its jobs and results: {}",
            afresh(name)
        ),
    }
}

/// What makes a database anew.
fn afresh(name: &str) -> String {
    format!(
        "dropdb {name} && createdb {name} && darkroom migrate (under `darkroom dev` or `demo`: stop it, and rm -r the folder darkroom-… \
         in /var/tmp, or in the system's folder for what may go, that its servers keep their data in)"
    )
}

/// The newest applied migration; nothing in an empty database.
pub async fn version(connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('refinery_schema_history') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM refinery_schema_history").fetch_one(connection).await
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "55P03")
}

/// refinery's view of an sqlx connection.
struct Adapter<'c>(&'c mut PgConnection);

impl AsyncTransaction for Adapter<'_> {
    type Error = sqlx::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(&'a mut self, queries: T) -> sqlx::Result<usize> {
        let mut transaction = self.0.begin().await?;
        let mut count = 0;
        for query in queries {
            sqlx::raw_sql(AssertSqlSafe(query)).execute(&mut *transaction).await?;
            count += 1;
        }
        transaction.commit().await?;
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Adapter<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> sqlx::Result<Vec<Migration>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&mut *self.0).await?;
        rows.iter().map(applied).collect()
    }
}

impl AsyncMigrate for Adapter<'_> {}

fn applied(row: &sqlx::postgres::PgRow) -> sqlx::Result<Migration> {
    let decode = |what: &str| sqlx::Error::Decode(format!("refinery_schema_history.{what} cannot be read").into());
    let (version, name): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let at: String = row.try_get(2)?;
    let at = time::OffsetDateTime::parse(&at, &time::format_description::well_known::Rfc3339)
        .map_err(|_| decode("applied_on"))?;
    let checksum: String = row.try_get(3)?;
    Ok(Migration::applied(version, name, at, checksum.parse().map_err(|_| decode("checksum"))?))
}
