//! Every pair of use cases on two connections, in every order of their statements that locks allow. A statement that waits for the
//! other's lock, as PostgreSQL tells, yields to it; nothing is judged by time. After each order the books are judged by
//! `verdict.sql`.
//!
//! `INTERLEAVE=Submit,Succeed` tries one pair, and prints every order of it.

mod cases;
mod gate;
mod order;
mod schedule;
mod submit;
mod world;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use self::cases::UseCase;
use self::schedule::{Played, Stage};
use self::world::World;

/// Pairs that are tried at once, each in a database of its own.
const LANES: usize = 2;
/// After so many orders the rows that they left dead are cleared away.
const VACUUM_EVERY: usize = 300;
/// So many orders of one pair are enough to show that its steps are cut too small.
const ORDERS_MAX: usize = 5_000;

type Pair = [UseCase; 2];

/// What a run came to.
#[derive(Default)]
struct Tally {
    pairs: usize,
    orders: usize,
    most: (usize, Option<Pair>),
    blocked: usize,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_of_two_use_cases_statements_does_harm() {
    let only = std::env::var("INTERLEAVE").ok();
    let named = |pair: &Pair| only.as_ref().is_none_or(|only| *only == format!("{:?},{:?}", pair[0], pair[1]));
    let all = UseCase::ALL;
    let pairs = all.iter().enumerate().flat_map(|(at, first)| all[at..].iter().map(move |second| [*first, *second]));
    let pairs: Arc<Mutex<Vec<Pair>>> = Arc::new(Mutex::new(pairs.filter(named).collect()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(run_lane(Arc::clone(&pairs), Arc::clone(&tally), only.is_some()));
    }
    lanes.join_all().await;
    let tally = tally.lock();
    println!(
        "{} pairs in {} orders, a step waited for a lock in {} of them; the most were {} of {:?}",
        tally.pairs, tally.orders, tally.blocked, tally.most.0, tally.most.1
    );
    assert!(
        tally.wrong.is_empty(),
        "{} orders did harm, as\n{}",
        tally.wrong.len(),
        tally.wrong[..tally.wrong.len().min(12)].join("\n")
    );
    assert!(tally.pairs > 0, "a pair of that name");
}

async fn run_lane(pairs: Arc<Mutex<Vec<Pair>>>, tally: Arc<Mutex<Tally>>, print: bool) {
    let world = World::new().await;
    let mut stage = Stage::open(&world).await;
    let mut since = 0;
    loop {
        let next = pairs.lock().pop();
        let Some(pair) = next else { break };
        let mut path = Vec::new();
        let mut orders = 0;
        loop {
            let done = stage.play(&world, pair, &mut path).await;
            orders += 1;
            tally.lock().count(pair, &done);
            if print {
                println!("{}", done.story);
            }
            if !schedule::next(&mut path) {
                break;
            }
            assert!(orders < ORDERS_MAX, "{pair:?} has too many orders");
        }
        tally.lock().finish(pair, orders);
        since += orders;
        if since > VACUUM_EVERY {
            since = 0;
            sqlx::raw_sql("VACUUM").execute(&mut stage.observer).await.expect("a vacuum");
        }
    }
    stage.close().await;
}

impl Tally {
    fn count(&mut self, pair: Pair, played: &Played) {
        self.orders += 1;
        self.blocked += usize::from(played.blocked);
        if !played.wrong.is_empty() {
            self.wrong.push(format!("{pair:?}: {}\n{}", played.wrong.join("; "), played.story));
        }
    }

    fn finish(&mut self, pair: Pair, orders: usize) {
        self.pairs += 1;
        if orders > self.most.0 {
            self.most = (orders, Some(pair));
        }
    }
}
