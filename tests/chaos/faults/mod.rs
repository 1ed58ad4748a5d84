//! Which faults there are, what each needs for itself, and when each comes; how each is done is in its family's file.

mod network;
mod postgres;
mod rack;
mod redis;
mod server;
mod storage;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;

use crate::cast::part::Part;
use crate::cast::servers::{Cache, Database};
use crate::site::{SERVICE, STOPPED, Site};
use crate::{clock, now_s};

/// Between two faults, in milliseconds: never as long as five seconds.
const PAUSE_MS: std::ops::Range<u64> = 1_500..3_500;

/// How long to wait for what another process does in its own time.
const PATIENCE: Duration = Duration::from_secs(25);

/// How much longer a run goes on for kinds whose victim was never to be had.
const EXTRA_MAX: Duration = Duration::from_secs(90);

/// From whom a kind takes the service while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From nobody: every replica must serve all the while.
    Nobody,
    /// From those who use the replicas that it has.
    Held,
    /// From everybody: PostgreSQL, or a replica that keeps rows locked while it stands still.
    Everybody,
}

/// Declares [`Kind`], with a name for people and what each has for itself while it lasts: D PostgreSQL, C Redis, R a
/// replica, A all of them, W a worker, M a producer, T a trainer. Those that end with `away` take the service from everybody, those
/// with `here` from the users of their replicas.
macro_rules! kinds {
    ($($kind:ident $name:literal $needs:literal $($reach:ident)?;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind,)+ }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)+];
            pub const fn name(self) -> &'static str { match self { $(Self::$kind => $name,)+ } }
            const fn needs(self) -> &'static str { match self { $(Self::$kind => $needs,)+ } }
            const fn reach(self) -> Reach {
                match self { $(Self::$kind => kinds!(@ $($reach)?),)+ }
            }
        }
    };
    (@ away) => { Reach::Everybody };
    (@ here) => { Reach::Held };
    (@) => { Reach::Nobody };
}

kinds! {
    KillReplica "SIGKILL of a replica" "R" here;
    KillWorker "SIGKILL of a worker" "W";
    KillProducer "SIGKILL of a producer" "M";
    KillPostgres "SIGKILL of PostgreSQL" "D" away;
    KillRedis "SIGKILL of Redis" "C";
    StopReplica "SIGSTOP/CONT of a replica" "R" away;
    StopWorker "SIGSTOP/CONT of a worker" "W";
    StopProducer "SIGSTOP/CONT of a producer" "M";
    StopPostgres "SIGSTOP/CONT of PostgreSQL" "D" away;
    StopRedis "SIGSTOP/CONT of Redis" "C";
    PastLease "a worker stopped past its lease and continued" "WD";
    Flush "Redis flushed" "C";
    Immediate "immediate shutdown of PostgreSQL" "D" away;
    KilledConnections "killed connections" "DC" away;
    HalfOpen "half-open TCP" "R" away;
    LostPool "half-open connections of one pool, for long" "R";
    Death "a death holding 100 leases" "WD";
    Outage "an outage longer than a lease" "DA" away;
    Replay "a replay racing a release" "W";
    MassDeath "thousands of leases dying at once" "D";
    RefusingRedis "Redis that reads but refuses writes" "C";
    OtherRedis "a replica with another Redis" "RC" here;
    BeforeMirror "a server killed between COMMIT and the mirror" "RDC" here;
    Collector "the collector racing a re-upload" "D";
    Clock "a server whose clock is a day fast" "R" here;
    ClockJump "a clock that jumps a day ahead, and back" "R";
    DiskFull "a full disk" "R" here;
    SlowStorage "slow storage of photographs" "R" here;
    DatabaseFull "PostgreSQL's disk full, and freed" "D" away;
    SlowDatabase "slow storage of PostgreSQL" "D" away;
    Rolling "a rolling restart of all replicas" "A" here;
    KillTrainer "SIGKILL of a trainer" "T";
    FrozenTrainer "a trainer frozen past its lease and continued" "TD";
    CutModel "the upload of a model cut off" "T";
    HalfCheckpoint "a checkpoint half written" "T";
}

/// What a fault has for itself while it lasts.
#[derive(Default)]
pub struct Hold {
    pub database: Option<OwnedMutexGuard<Database>>,
    pub cache: Option<OwnedMutexGuard<Cache>>,
    pub replicas: Vec<(usize, OwnedMutexGuard<()>)>,
    pub worker: Option<(usize, OwnedMutexGuard<()>)>,
    pub producer: Option<(usize, OwnedMutexGuard<()>)>,
    pub trainer: Option<(usize, OwnedMutexGuard<()>)>,
}

impl Hold {
    /// Takes what a kind needs; nothing when another fault has it.
    fn take(site: &Site, kind: Kind, dice: &mut StdRng) -> Option<Self> {
        let free = |busy: &Arc<tokio::sync::Mutex<()>>| Arc::clone(busy).try_lock_owned().ok();
        let mut hold = Self::default();
        for need in kind.needs().chars() {
            match need {
                'D' => hold.database = Some(Arc::clone(&site.database).try_lock_owned().ok()?),
                'C' => hold.cache = Some(Arc::clone(&site.cache).try_lock_owned().ok()?),
                'W' => {
                    let at = dice.random_range(0..site.workers.len());
                    hold.worker = Some((at, free(&site.workers[at].busy)?));
                }
                'M' => {
                    let at = dice.random_range(0..site.producers.len());
                    hold.producer = Some((at, free(&site.producers[at].busy)?));
                }
                'T' => {
                    let at = dice.random_range(0..site.trainers.len());
                    hold.trainer = Some((at, free(&site.trainers[at].busy)?));
                }
                replicas => {
                    let at = dice.random_range(0..site.replicas.len());
                    let which = if replicas == 'A' { 0..site.replicas.len() } else { at..at + 1 };
                    for at in which {
                        hold.replicas.push((at, free(&site.replicas[at].busy)?));
                    }
                }
            }
        }
        Some(hold)
    }

    fn database(&mut self) -> anyhow::Result<&mut Database> {
        self.database.as_deref_mut().context("PostgreSQL is not held")
    }

    fn cache(&mut self) -> anyhow::Result<&mut Cache> {
        self.cache.as_deref_mut().context("Redis is not held")
    }

    fn replica(&self) -> anyhow::Result<usize> {
        self.replicas.first().map(|(at, _)| *at).context("no replica is held")
    }

    fn worker<'s>(&self, site: &'s Site) -> anyhow::Result<&'s Part> {
        let (at, _) = self.worker.as_ref().context("no worker is held")?;
        Ok(&site.workers[*at].part)
    }

    fn trainer<'s>(&self, site: &'s Site) -> anyhow::Result<&'s Part> {
        let (at, _) = self.trainer.as_ref().context("no trainer is held")?;
        Ok(&site.trainers[*at].part)
    }

    fn producer<'s>(&self, site: &'s Site) -> anyhow::Result<&'s Part> {
        let (at, _) = self.producer.as_ref().context("no producer is held")?;
        Ok(&site.producers[*at].part)
    }

    /// Whose it is, for the log.
    fn whom(&self) -> String {
        let replicas = self.replicas.iter().map(|(at, _)| format!("replica-{at}"));
        let worker = self.worker.iter().map(|(at, _)| format!("worker-{at}"));
        let producer = self.producer.iter().map(|(at, _)| format!("producer-{at}"));
        let trainer = self.trainer.iter().map(|(at, _)| format!("trainer-{at}"));
        replicas.chain(worker).chain(producer).chain(trainer).collect::<Vec<_>>().join(" ")
    }
}

/// How often each kind was begun and reached, and how long there was none.
#[derive(Default)]
pub struct Tally {
    pub begun: BTreeMap<Kind, u32>,
    pub reached: BTreeMap<Kind, u32>,
    pub last: &'static str,
    pub longest_pause: Duration,
}

/// The tally, whoever else looks at it.
pub fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Whether every kind was reached so often.
    fn is_complete(&self, least: u32) -> bool {
        Kind::ALL.iter().all(|kind| self.reached.get(kind).is_some_and(|count| *count >= least))
    }

    fn weight(&self, kind: Kind) -> u32 {
        2 * self.reached.get(&kind).copied().unwrap_or(0) + self.begun.get(&kind).copied().unwrap_or(0)
    }
}

/// Injures the site until the time is up, and lets every fault come to its end.
pub async fn run(site: Arc<Site>, until: Instant, tally: Arc<Mutex<Tally>>) {
    let mut dice = StdRng::seed_from_u64(site.settings.seed);
    let mut running = JoinSet::new();
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(dice.random_range(PAUSE_MS))).await;
        let now = Instant::now();
        if now > until && (lock(&tally).is_complete(site.settings.least()) || now > until + EXTRA_MAX) {
            break;
        }
        let Some((kind, hold)) = choose(&site, &lock(&tally), &mut dice) else { continue };
        {
            let mut tally = lock(&tally);
            *tally.begun.entry(kind).or_default() += 1;
            tally.last = kind.name();
            tally.longest_pause = tally.longest_pause.max(last.elapsed());
            last = Instant::now();
        }
        let (site, tally, dice) = (Arc::clone(&site), Arc::clone(&tally), StdRng::from_rng(&mut dice));
        running.spawn(async move {
            let (from, whom) = (now_s(), hold.whom());
            let wounded = match kind.reach() {
                Reach::Nobody => Vec::new(),
                Reach::Held => hold.replicas.iter().map(|(at, _)| *at).collect(),
                Reach::Everybody => (0..site.replicas.len()).collect(),
            };
            let done = carry_out(&site, kind, hold, dice).await;
            if kind.reach() == Reach::Everybody {
                site.hit(kind.name(), SERVICE, from, now_s());
            }
            site.wound(kind.name(), wounded, from, now_s());
            site.log(&format!("{} to {} {whom} {}: {done:?}", clock(from), clock(now_s()), kind.name()));
            match done {
                Ok(true) => *lock(&tally).reached.entry(kind).or_default() += 1,
                Ok(false) => println!("  not reached: {}", kind.name()),
                Err(error) => println!("  not reached: {}: {error:#}", kind.name()),
            }
        });
    }
    while running.join_next().await.is_some() {}
}

/// Rare kinds come first, mostly; a kind whose victim is another fault's waits.
fn choose(site: &Site, tally: &Tally, dice: &mut StdRng) -> Option<(Kind, Hold)> {
    let mut kinds = Kind::ALL.to_vec();
    kinds.shuffle(dice);
    if dice.random_bool(0.75) {
        kinds.sort_by_key(|kind| tally.weight(*kind));
    }
    kinds.iter().find_map(|kind| Some((*kind, Hold::take(site, *kind, dice)?)))
}

/// Does it; answers whether it came to what its name says.
async fn carry_out(site: &Site, kind: Kind, mut hold: Hold, mut dice: StdRng) -> anyhow::Result<bool> {
    let (lease, name) = (site.settings.lease_s, kind.name());
    let mut seconds = |from: f64, to: f64| Duration::from_secs_f64(dice.random_range(from..to));
    match kind {
        Kind::KillReplica => server::kill(site, hold.replica()?).await?,
        Kind::KillWorker => worker::kill(site, hold.worker(site)?, name).await,
        Kind::KillProducer => hold.producer(site)?.kill().await,
        Kind::KillPostgres => postgres::fall(hold.database()?, "KILL", seconds(0.0, 0.5)).await?,
        Kind::Immediate => postgres::fall(hold.database()?, "QUIT", seconds(0.0, 0.5)).await?,
        Kind::KillRedis => redis::fall(hold.cache()?, seconds(0.0, 2.0)).await?,
        Kind::StopReplica => stop(&site.replicas[hold.replica()?].part, seconds(0.3 * lease, 1.2 * lease)).await,
        // Short enough to go unnoticed: its session must live.
        Kind::StopWorker => {
            let from = now_s();
            stop(hold.worker(site)?, seconds(0.1 * lease, 0.35 * lease)).await;
            site.hit(name, STOPPED, from, now_s());
        }
        Kind::StopProducer => stop(hold.producer(site)?, seconds(0.5, 3.0)).await,
        Kind::StopPostgres => postgres::stand_still(hold.database()?, seconds(0.3, 2.0)).await?,
        Kind::StopRedis => redis::stand_still(site, name, hold.cache()?, seconds(1.0, 3.0)).await?,
        Kind::Flush => redis::flush(hold.cache()?).await?,
        Kind::PastLease => {
            return worker::past_lease(site, hold.worker(site)?, ("dawdle", "dawdles "), name).await;
        }
        Kind::KillTrainer => worker::kill(site, hold.trainer(site)?, name).await,
        Kind::FrozenTrainer => return worker::past_lease(site, hold.trainer(site)?, ("linger", "lingers"), name).await,
        Kind::CutModel => return worker::cut_off(hold.trainer(site)?, "cut").await,
        Kind::HalfCheckpoint => return worker::cut_off(hold.trainer(site)?, "halve").await,
        Kind::KilledConnections => return network::cut_all(site, hold.cache()?).await,
        Kind::HalfOpen => network::half_open(site, hold.replica()?, &mut dice).await?,
        Kind::LostPool => {
            let at = hold.replica()?;
            // Long, and no hindrance to other faults.
            hold.replicas.clear();
            return network::lose_pool(site, at, site.settings.half_open_for(), &mut dice).await;
        }
        Kind::MassDeath => return rack::die(site).await,
        Kind::RefusingRedis => {
            let how_long = seconds(2.0, 5.0);
            return redis::refuse_writes(site, hold.cache()?, how_long, &mut dice).await;
        }
        Kind::OtherRedis => return redis::use_another(site, hold.replica()?, seconds(3.0, 6.0)).await,
        Kind::ClockJump => return server::jump_clock(site, hold.replica()?, seconds(2.0, 5.0)).await,
        Kind::SlowStorage => return storage::slow_down(site, hold.replica()?, &mut dice).await,
        Kind::DatabaseFull => return postgres::fill_disk(site, hold.database()?, seconds(2.0, 5.0)).await,
        Kind::SlowDatabase => return postgres::slow_disk(site, hold.database()?, seconds(1.0, 3.0)).await,
        Kind::Death => return worker::kill_with_many(site, hold.worker(site)?, name).await,
        Kind::Outage => server::outage(site, &mut hold, dice.random_bool(0.5)).await?,
        Kind::Replay => return worker::replay(hold.worker(site)?).await,
        Kind::BeforeMirror => return network::kill_before_mirror(site, hold.replica()?, &mut dice).await,
        Kind::Collector => return storage::collect_beside_uploads(site, &mut dice).await,
        Kind::Clock => return server::fast_clock(site, hold.replica()?, seconds(3.0, 6.0)).await,
        Kind::Rolling => server::rolling(site).await?,
        Kind::DiskFull => return storage::fill_disk(site, hold.replica()?, &mut dice).await,
    }
    Ok(true)
}

async fn stop(part: &Part, how_long: Duration) {
    part.signal("STOP").await;
    tokio::time::sleep(how_long).await;
    part.signal("CONT").await;
}
