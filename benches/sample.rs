//! Turns: what one of them came to, and the sides that take them.

use std::future::Future;
use std::time::Duration;

use crate::costs::{Costs, Parties, Used};
use crate::profile;
use crate::report::median;
use crate::site::Site;

/// What was done in a turn.
pub struct Done {
    pub jobs: usize,
    pub took: Duration,
}

impl Done {
    pub fn rate(&self) -> f64 {
        self.jobs as f64 / self.took.as_secs_f64()
    }
}

/// One of those who take turns.
pub struct Side {
    pub name: String,
    pub rates: Vec<f64>,
    pub costs: Vec<Costs>,
}

impl Side {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rates: Vec::new(), costs: Vec::new() }
    }

    /// Takes a turn: runs a piece of work and notes its rate and what it cost. `database` is where it runs.
    pub async fn turn(
        &mut self,
        site: &Site,
        parties: Parties,
        database: &str,
        work: impl Future<Output = anyhow::Result<Done>>,
    ) -> anyhow::Result<()> {
        if profile::is_wanted() {
            profile::begin(site).await?;
        }
        let before = Used::now(site, &parties).await?;
        let done = work.await?;
        let costs = Used::now(site, &parties).await?.since(&before, done.jobs);
        println!("    {}: {:.0} a second ({costs})", self.name, done.rate());
        if profile::is_wanted() {
            profile::print(site, database, done.jobs).await?;
        }
        self.rates.push(done.rate());
        self.costs.push(costs);
        Ok(())
    }

    pub fn rate(&self) -> f64 {
        median(&self.rates)
    }

    pub fn cost(&self) -> Costs {
        Costs::median(&self.costs)
    }
}
