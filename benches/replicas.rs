//! Two servers of one installation against one.

use crate::crew::Load;
use crate::installation::Installation;
use crate::lifecycle::{LOAD, turn, warm_up};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;

/// Of every five turns, in so many two must do at least what one does.
const WON_AT_LEAST: f64 = 0.8;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "replicas").await?;
    let (first, second) = (on.serve(site).await?, on.serve(site).await?);
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    warm_up(&on, &[&first, &second], load).await?;
    let (mut two, mut one) = (Side::new("two replicas"), Side::new("one"));
    for _ in site.turns() {
        turn(site, &on, &[&first, &second], load, &mut two).await?;
        turn(site, &on, &[&first], load, &mut one).await?;
    }
    let won = two.rates.iter().zip(&one.rates).filter(|(two, one)| two >= one).count();
    let turns = two.rates.len();
    let what = format!("turns of {turns} in which two replicas do at least what one does");
    let rows = vec![
        Row::rate("lives of jobs over two replicas", &two).against("over one", one.rate()),
        Row::new(&what, "turns", won as f64).at_least((WON_AT_LEAST * turns as f64).floor()),
        on.ledger.verdict(&on).await?,
    ];
    let outcome = Outcome::new(rows, &[&two, &one]);
    drop((first, second));
    on.remove(site).await?;
    Ok(outcome)
}
