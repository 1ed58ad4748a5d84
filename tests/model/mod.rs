//! Random interleavings of everything that people, workers and time do to jobs, against a pure model, on the real
//! PostgreSQL and Redis. `table.md` says what each operation is answered with in each state; every pair of it is
//! reached.
//!
//! `MODEL_SEED` takes the choices of an earlier run again, as far as the service answers the same; `MODEL_STEPS` changes
//! the length; `MODEL_CASE` runs one list of steps, as a failure prints it.

mod choose;
mod leases;
mod model;
mod ops;
mod people;
mod rules;
mod shrink;
mod table;
mod time;
mod workers;
mod world;

use std::time::{Duration, Instant};

use rand::Rng;

use self::choose::Chooser;
use self::ops::Step;
use self::table::{FLOOR, Hits};
use self::world::{Check, World};

/// Steps of a run of the ordinary length, over all lanes.
const STEPS: usize = 8_000;
/// Steps of one case, which has a database of its own.
const CASE: usize = 200;
/// Cases that run at once.
const LANES: u64 = 2;
/// After so many steps the slower comparison is made.
const MORE_EVERY: usize = 25;
/// How long a failing case is made shorter.
const SHRINK: Duration = Duration::from_secs(60);

/// A case that failed: its steps and what was wrong.
type Failure = (Vec<Step>, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_what_the_model_says() {
    if let Ok(case) = std::env::var("MODEL_CASE") {
        let steps: Vec<Step> = case.split_whitespace().map(|s| s.parse().expect("a step")).collect();
        replay(&steps).await.expect("the case to pass");
        return;
    }
    let of_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = of_env("MODEL_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let steps = of_env("MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    println!("MODEL_SEED={seed} MODEL_STEPS={steps}");
    let lanes =
        (0..LANES).map(|lane| tokio::spawn(run_lane(Chooser::new(seed * LANES + lane), steps / LANES as usize)));
    let mut hits = Hits::default();
    for lane in futures_util::future::join_all(lanes).await {
        match lane.expect("a lane") {
            Ok(lane) => hits.add(&lane),
            Err((case, wrong)) => fail(seed, case, &wrong).await,
        }
    }
    let missing = hits.missing();
    let short = missing.iter().map(|(count, pair)| format!("{count:>4}  {pair}")).collect::<Vec<_>>().join("\n");
    println!(
        "{} pairs of the table, {} reached fewer than {FLOOR} times\n{short}",
        table::table().len(),
        missing.len()
    );
    assert!(missing.is_empty() || steps < STEPS, "MODEL_SEED={seed}: pairs of the table were hardly reached:\n{short}");
}

/// Shrinks a failing case and reports it.
async fn fail(seed: u64, case: Vec<Step>, wrong: &str) -> ! {
    println!("MODEL_SEED={seed} failed after {} steps: {wrong}\nshrinking …", case.len());
    let mut last = wrong.to_owned();
    let least = shrink::shrink(case, Instant::now() + SHRINK, async |steps: &[Step]| match replay(steps).await {
        Ok(()) => false,
        Err(wrong) => {
            last = wrong;
            true
        }
    })
    .await;
    let list = least.iter().map(Step::to_string).collect::<Vec<_>>().join(" ");
    panic!("MODEL_SEED={seed}: {last}\nrun it again with\nMODEL_CASE='{list}'");
}

/// Runs cases one after the other; what is rare so far is sought by the next.
async fn run_lane(mut chooser: Chooser, steps: usize) -> Result<Hits, Failure> {
    let mut hits = Hits::default();
    let mut left = steps;
    while left > 0 {
        let mut case = Vec::new();
        let count = left.min(CASE);
        run_case(&mut chooser, &mut hits, &mut case, count).await.map_err(|wrong| (case, wrong))?;
        left -= count;
    }
    Ok(hits)
}

async fn run_case(chooser: &mut Chooser, hits: &mut Hits, case: &mut Vec<Step>, count: usize) -> Check {
    let mut world = World::new(hits).await?;
    for n in 1..=count {
        let step = chooser.next(&world.m, world.hits());
        case.push(step);
        world.step(step).await.map_err(|wrong| format!("{step}: {wrong}"))?;
        if n % MORE_EVERY == 0 || n == count {
            world.compare_more().await?;
        }
    }
    Ok(())
}

async fn replay(steps: &[Step]) -> Check {
    let mut hits = Hits::default();
    let mut world = World::new(&mut hits).await?;
    for step in steps {
        world.step(*step).await.map_err(|wrong| format!("{step}: {wrong}"))?;
    }
    world.compare_more().await
}
