//! Beside a transaction that stays open: what vacuum cannot remove must not be walked over.

use crate::crew::Load;
use crate::installation::Installation;
use crate::lifecycle::{LOAD, turn, warm_up};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;

const AT_LEAST: f64 = 0.85;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    // Two databases: a snapshot holds back vacuum in its own alone.
    let (held, free) = (Installation::new(site, "held").await?, Installation::new(site, "held_not").await?);
    let (at_held, at_free) = (held.serve(site).await?, free.serve(site).await?);
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    warm_up(&held, &[&at_held], load).await?;
    warm_up(&free, &[&at_free], load).await?;

    let mut holder = held.pool.acquire().await?;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut *holder).await?;
    sqlx::query("SELECT count(*), pg_current_xact_id() FROM job").execute(&mut *holder).await?;
    let (mut beside, mut without) = (Side::new("beside an open snapshot"), Side::new("without"));
    for _ in site.turns() {
        turn(site, &held, &[&at_held], load, &mut beside).await?;
        turn(site, &free, &[&at_free], load, &mut without).await?;
    }
    sqlx::query("ROLLBACK").execute(&mut *holder).await?;
    drop(holder);

    let what = "lives of jobs beside a snapshot that is open from the first turn to the last";
    let rows = vec![
        Row::rate(what, &beside).against("without one", without.rate()).at_least(AT_LEAST),
        held.ledger.verdict(&held).await?,
    ];
    let outcome = Outcome::new(rows, &[&beside, &without]);
    drop((at_held, at_free));
    held.remove(site).await?;
    free.remove(site).await?;
    Ok(outcome)
}
