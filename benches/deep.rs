//! A long queue and a long history against a short queue and none.

use crate::crew::{Crew, Load};
use crate::installation::{Installation, Server};
use crate::lifecycle::{LOAD, turn, warm_up};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;

/// Jobs that stay queued.
const DEEP: usize = 100_000;
const SHALLOW: usize = 1_000;
/// Partitions of the archive and of the events, and rows in each.
const PARTITIONS: usize = 400;
const ROWS: usize = 2_500;
const AT_LEAST: f64 = 0.95;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let (deep, shallow) = (Installation::new(site, "deep").await?, Installation::new(site, "deep_not").await?);
    let (partitions, queued) = (site.scaled(PARTITIONS), site.scaled(DEEP));
    seed_history(&deep, partitions).await?;
    println!("    {partitions} partitions of {ROWS} ended jobs and as many events are there");
    let (at_deep, at_shallow) = (deep.serve(site).await?, shallow.serve(site).await?);
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    warm_up(&deep, &[&at_deep], load).await?;
    warm_up(&shallow, &[&at_shallow], load).await?;
    fill(&deep, &at_deep, queued).await?;
    fill(&shallow, &at_shallow, SHALLOW).await?;
    println!("    {queued} and {SHALLOW} jobs are queued");

    let (mut long, mut short) = (Side::new("long queue and history"), Side::new("short"));
    for _ in site.turns() {
        turn(site, &deep, &[&at_deep], load, &mut long).await?;
        turn(site, &shallow, &[&at_shallow], load, &mut short).await?;
    }
    let what = format!("lives of jobs with {queued} queued and {partitions} partitions of history");
    let rows = vec![
        Row::rate(&what, &long).against("with 1,000 queued and none", short.rate()).at_least(AT_LEAST),
        deep.ledger.verdict(&deep).await?,
    ];
    let outcome = Outcome::new(rows, &[&long, &short]);
    drop((at_deep, at_shallow));
    deep.remove(site).await?;
    shallow.remove(site).await?;
    Ok(outcome)
}

async fn seed_history(on: &Installation, partitions: usize) -> anyhow::Result<()> {
    sqlx::query(include_str!("sql/history.sql")).execute(&on.pool).await?;
    let partition = include_str!("sql/history_partition.sql");
    for day in 1..=i32::try_from(partitions)? {
        sqlx::query(partition).bind(day).bind(i32::try_from(ROWS)?).execute(&on.pool).await?;
    }
    sqlx::query("VACUUM ANALYZE").execute(&on.pool).await?;
    Ok(())
}

/// Submits as many jobs, which nobody claims yet.
async fn fill(on: &Installation, server: &Server, jobs: usize) -> anyhow::Result<()> {
    let one = Load { submissions: 1, ..LOAD }.jobs();
    let load = Load { workers: 0, submissions: jobs.div_ceil(one), ..LOAD };
    Crew::assemble(on, &[server], load).await?.run(load.of_new_images(on).await?, 0).await?;
    Ok(())
}
