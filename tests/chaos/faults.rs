//! Which faults there are, what each needs for itself, and when each comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;

use crate::injure;
use crate::now_s;
use crate::servers::{Cache, Database};
use crate::site::{PROXIED, Site};

/// Between two faults, in milliseconds: never as long as five seconds.
const PAUSE_MS: std::ops::Range<u64> = 1_500..3_500;

/// How much longer a run goes on for kinds whose victim was never to be had.
const EXTRA_MAX: Duration = Duration::from_secs(90);

/// Declares [`Kind`], with a name for people and what each has for itself while it lasts: D PostgreSQL, C Redis, R a
/// replica, P the one behind proxies, A all of them, W a worker, M a producer.
macro_rules! kinds {
    ($($kind:ident $name:literal $needs:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind,)+ }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)+];
            pub const fn name(self) -> &'static str { match self { $(Self::$kind => $name,)+ } }
            const fn needs(self) -> &'static str { match self { $(Self::$kind => $needs,)+ } }
        }
    };
}

kinds! {
    KillReplica "SIGKILL of a replica" "R";
    KillWorker "SIGKILL of a worker" "W";
    KillProducer "SIGKILL of a producer" "M";
    KillPostgres "SIGKILL of PostgreSQL" "D";
    KillRedis "SIGKILL of Redis" "C";
    StopReplica "SIGSTOP/CONT of a replica" "R";
    StopWorker "SIGSTOP/CONT of a worker" "W";
    StopProducer "SIGSTOP/CONT of a producer" "M";
    StopPostgres "SIGSTOP/CONT of PostgreSQL" "D";
    StopRedis "SIGSTOP/CONT of Redis" "C";
    PastLease "a worker stopped past its lease and continued" "WD";
    Flush "Redis flushed" "C";
    Immediate "immediate shutdown of PostgreSQL" "D";
    KilledConnections "killed connections" "DC";
    HalfOpen "half-open TCP" "P";
    Death "a death holding 100 leases" "WD";
    Outage "an outage longer than a lease" "DA";
    Replay "a replay racing a release" "W";
    BeforeMirror "a server killed between COMMIT and the mirror" "PDC";
    Collector "the collector racing a re-upload" "D";
    Clock "a server whose clock is a day fast" "R";
    DiskFull "a full disk" "R";
    Rolling "a rolling restart of all replicas" "A";
}

/// What a fault has for itself while it lasts.
#[derive(Default)]
pub struct Hold {
    pub database: Option<OwnedMutexGuard<Database>>,
    pub cache: Option<OwnedMutexGuard<Cache>>,
    pub replicas: Vec<(usize, OwnedMutexGuard<()>)>,
    pub worker: Option<(usize, OwnedMutexGuard<()>)>,
    pub producer: Option<(usize, OwnedMutexGuard<()>)>,
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
                replicas => {
                    let one = dice.random_range(0..site.replicas.len());
                    let at = if replicas == 'P' { PROXIED } else { one };
                    let which = if replicas == 'A' { 0..site.replicas.len() } else { at..at + 1 };
                    for at in which {
                        hold.replicas.push((at, free(&site.replicas[at].busy)?));
                    }
                }
            }
        }
        Some(hold)
    }

    /// Whose it is, for the log.
    fn whom(&self) -> String {
        let replicas = self.replicas.iter().map(|(at, _)| format!("replica-{at}"));
        let worker = self.worker.iter().map(|(at, _)| format!("worker-{at}"));
        let producer = self.producer.iter().map(|(at, _)| format!("producer-{at}"));
        replicas.chain(worker).chain(producer).collect::<Vec<_>>().join(" ")
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
            let done = injure::carry_out(&site, kind, hold, dice).await;
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

/// A time of day as the servers' logs have it.
pub fn clock(at_s: f64) -> String {
    let at = chrono::DateTime::from_timestamp_micros((at_s * 1e6) as i64).unwrap_or_default();
    at.format("%H:%M:%S%.3f").to_string()
}

/// One of these, by chance.
pub fn one_of<T: Copy>(of: &[T], dice: &mut StdRng) -> Option<T> {
    of.choose(dice).copied()
}
