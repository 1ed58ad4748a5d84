//! Random interleavings of everything that people, workers and time do to jobs, against a pure model, on the real
//! PostgreSQL and Redis. `table.md` says what each operation is answered with in each state; every pair of it is
//! reached.
//!
//! `MODEL_SEED` takes the choices of an earlier run again, as far as the service answers the same; `MODEL_STEPS` makes so
//! many steps, whatever they reach; `MODEL_CASE` runs one list of steps, as a failure prints it.

mod choose;
mod compare;
mod grants;
mod leases;
mod ops;
mod people;
mod rules;
mod shrink;
mod state;
mod table;
mod time;
mod together;
mod training;
mod workers;
mod world;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::task::JoinSet;

use self::choose::Chooser;
use self::table::{FLOOR, Hits};
use self::together::Turn;
use self::world::{Check, World};

/// Steps of a run at least, and at most: within them, it goes on until every pair of the table was reached.
const STEPS: RangeInclusive<usize> = 4_000..=48_000;
/// Steps of one case, which has a database of its own.
const CASE: usize = 200;
/// Cases that run at once.
const LANES: u32 = 2;
/// After so many steps the slower comparison is made.
const MORE_EVERY: usize = 25;
/// How long a failing case is made shorter.
const SHRINK: Duration = Duration::from_secs(60);

/// A case that failed: its steps and what was wrong.
type Failure = (Vec<Turn>, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_what_the_model_says() {
    if let Ok(case) = std::env::var("MODEL_CASE") {
        let steps: Vec<Turn> = case.split_whitespace().map(|s| s.parse().expect("a step")).collect();
        replay(&steps).await.expect("the case to pass");
        return;
    }
    let of_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = of_env("MODEL_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let asked = of_env("MODEL_STEPS").map(|steps| steps as usize);
    let steps = asked.map_or(STEPS, |steps| steps..=steps);
    println!("MODEL_SEED={seed}");
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(run_lane(Chooser::new(seed * u64::from(LANES) + u64::from(lane)), steps.clone()));
    }
    let mut hits = Hits::default();
    let mut made = 0;
    while let Some(lane) = lanes.join_next().await {
        match lane.expect("a lane") {
            Ok((lane, steps)) => {
                hits.add(&lane);
                made += steps;
            }
            Err((case, wrong)) => {
                lanes.abort_all();
                fail(seed, case, &wrong).await;
            }
        }
    }
    let missing = hits.missing(FLOOR);
    let short = missing.iter().map(|(count, pair)| format!("{count:>4}  {pair}")).collect::<Vec<_>>().join("\n");
    let pairs = table::table().len();
    println!(
        "{made} steps; of {pairs} pairs of the table {} were reached fewer than {FLOOR} times\n{short}",
        missing.len()
    );
    assert!(
        missing.is_empty() || asked.is_some(),
        "MODEL_SEED={seed}: pairs of the table were hardly reached:\n{short}"
    );
}

/// Shrinks a failing case and reports it.
async fn fail(seed: u64, case: Vec<Turn>, wrong: &str) -> ! {
    println!("MODEL_SEED={seed} failed after {} steps: {wrong}\nshrinking …", case.len());
    let mut last = wrong.to_owned();
    let least = shrink::shrink(case, Instant::now() + SHRINK, async |steps: &[Turn]| match replay(steps).await {
        Ok(()) => false,
        Err(wrong) => {
            last = wrong;
            true
        }
    })
    .await;
    let list = least.iter().map(Turn::to_string).collect::<Vec<_>>().join(" ");
    panic!("MODEL_SEED={seed}: {last}\nrun it again with\nMODEL_CASE='{list}'");
}

/// Runs cases one after the other until the lane has done its share; what is rare so far is sought by the next.
async fn run_lane(mut chooser: Chooser, steps: RangeInclusive<usize>) -> Result<(Hits, usize), Failure> {
    let (least, most) = (steps.start() / LANES as usize, steps.end() / LANES as usize);
    let mut hits = Hits::default();
    let mut made = 0;
    while made < least || (made < most && !hits.missing(FLOOR.div_ceil(LANES)).is_empty()) {
        let mut case = Vec::new();
        let count = CASE.min(most - made);
        run_case(&mut chooser, &mut hits, &mut case, count).await.map_err(|wrong| (case, wrong))?;
        made += count;
    }
    Ok((hits, made))
}

async fn run_case(chooser: &mut Chooser, hits: &mut Hits, case: &mut Vec<Turn>, count: usize) -> Check {
    let mut world = World::new(hits).await?;
    for n in 1..=count {
        let turn = chooser.next(&world.m, world.hits());
        case.push(turn);
        take(&mut world, turn).await?;
        if n % MORE_EVERY == 0 || n == count {
            world.compare_more().await?;
        }
    }
    Ok(())
}

async fn replay(turns: &[Turn]) -> Check {
    let mut hits = Hits::default();
    let mut world = World::new(&mut hits).await?;
    for turn in turns {
        take(&mut world, *turn).await?;
    }
    world.compare_more().await
}

async fn take(world: &mut World<'_>, turn: Turn) -> Check {
    let taken = match turn.beside {
        Some(beside) => world.together([turn.step, beside]).await,
        None => world.step(turn.step).await,
    };
    taken.map_err(|wrong| format!("{turn}: {wrong}"))
}
