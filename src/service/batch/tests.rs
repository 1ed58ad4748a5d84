//! What a batcher promises.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;

/// A batcher whose batches wait for a permit each, and are noted.
struct Bench {
    batcher: Arc<Batcher<i32, i32>>,
    gate: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<i32>>>>,
    lost: Arc<AtomicUsize>,
}

impl Bench {
    /// Negative numbers are refused, 99 finds the database away, 55 loses its connection once, 77 panics.
    fn new(at_once: u32) -> Self {
        let (gate, batches, lost) = (Arc::new(Semaphore::new(0)), Arc::default(), Arc::<AtomicUsize>::default());
        let run = {
            let (gate, batches) = (Arc::clone(&gate), Arc::clone(&batches));
            move |items: Vec<i32>| run(Arc::clone(&gate), Arc::clone(&batches), items)
        };
        let count = Arc::clone(&lost);
        let capacity = Capacity { waiting: 8, weight: 4, at_once, crowd: 0, repeatable: true };
        let batcher = Batcher::new(capacity, run, move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        Self { batcher, gate, batches, lost }
    }

    fn call(&self, number: i32) -> tokio::task::JoinHandle<Result<i32>> {
        self.call_apart(number, Vec::new())
    }

    fn call_apart(&self, number: i32, keys: Vec<u64>) -> tokio::task::JoinHandle<Result<i32>> {
        let batcher = Arc::clone(&self.batcher);
        tokio::spawn(async move { batcher.call_apart(number, 1, keys).await })
    }

    /// Calls one after another, so that their order is known: the first is under way, the others wait.
    async fn calls(&self, numbers: &[i32]) -> Vec<tokio::task::JoinHandle<Result<i32>>> {
        let mut calls = Vec::new();
        for number in numbers {
            calls.push(self.call(*number));
            while self.batcher.line.lock().waiting.len() + 1 < calls.len() || self.batcher.line.lock().under_way == 0 {
                tokio::task::yield_now().await;
            }
            while calls.len() == 1 && !self.batcher.line.lock().waiting.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        calls
    }

    /// Waits until no lane is open.
    async fn closed(&self) {
        let closing = async {
            while self.batcher.line.lock().under_way > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closing).await.expect("the lane to close");
    }

    fn batches(&self) -> Vec<Vec<i32>> {
        self.batches.lock().clone()
    }
}

async fn run(gate: Arc<Semaphore>, batches: Arc<Mutex<Vec<Vec<i32>>>>, items: Vec<i32>) -> Result<Answers<i32>> {
    drop(gate.acquire().await.map(tokio::sync::SemaphorePermit::forget));
    batches.lock().push(items.clone());
    assert!(!items.contains(&77), "as ordered");
    if items.contains(&99) {
        return Err(sqlx::Error::PoolTimedOut.into());
    }
    let before = batches.lock().iter().filter(|b| b.contains(&55)).count();
    if items.contains(&55) && before == 1 {
        return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into());
    }
    if items.iter().any(|n| *n < 0) {
        return Err(Fault::new(Code::InvalidField, "negative").into());
    }
    Ok(items.iter().map(|n| n * 2).collect::<Vec<_>>().into())
}

async fn answers(calls: Vec<tokio::task::JoinHandle<Result<i32>>>) -> Vec<Option<i32>> {
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("a call").ok());
    }
    answers
}

#[tokio::test]
async fn what_arrives_meanwhile_goes_together_and_a_batch_has_a_limit() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[1, 2, 3, 4, 5, 6]).await;
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [2, 4, 6, 8, 10, 12].map(Some));
    assert_eq!(bench.batches(), [vec![1], vec![2, 3, 4, 5], vec![6]]);
    bench.closed().await;
}

#[tokio::test]
async fn one_bad_item_harms_nobody_else() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[1, 2, -3, 4]).await;
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [Some(2), Some(4), None, Some(8)]);
    assert_eq!(bench.batches(), [vec![1], vec![2, -3, 4], vec![2], vec![-3], vec![4]]);
}

#[tokio::test]
async fn when_the_database_is_away_all_are_told_at_once() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[1, 2, 99, 4]).await;
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [Some(2), None, None, None]);
    assert_eq!(bench.batches().len(), 2, "nobody waits a second time");
}

#[tokio::test]
async fn what_nobody_knows_to_be_committed_is_carried_out_again() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[1, 55, 3]).await;
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [Some(2), Some(110), Some(6)]);
    assert_eq!(bench.batches(), [vec![1], vec![55, 3], vec![55, 3]]);
}

#[tokio::test]
async fn calls_that_share_a_key_never_go_together() {
    let bench = Bench::new(1);
    let first = bench.calls(&[1]).await;
    let mut calls = Vec::new();
    for (number, key) in [(2, 7), (3, 8), (4, 7), (5, 9)] {
        calls.push(bench.call_apart(number, vec![key]));
        while bench.batcher.line.lock().waiting.len() < calls.len() {
            tokio::task::yield_now().await;
        }
    }
    bench.gate.add_permits(9);
    assert_eq!(answers(first).await, [Some(2)]);
    assert_eq!(answers(calls).await, [4, 6, 8, 10].map(Some));
    assert_eq!(bench.batches(), [vec![1], vec![2, 3], vec![4, 5]]);
}

#[tokio::test]
async fn an_item_handed_over_is_carried_out_though_its_caller_hangs_up() {
    let bench = Bench::new(1);
    let mut calls = bench.calls(&[1, 2, 3]).await;
    let gone = calls.remove(1);
    gone.abort();
    drop(gone.await);
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [Some(2), Some(6)]);
    assert_eq!(bench.batches(), [vec![1], vec![2, 3]]);
    assert_eq!(bench.lost.load(Ordering::SeqCst), 1, "and what it got is given back");
}

#[tokio::test]
async fn a_full_line_says_so() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).await;
    let refused = bench.call(9).await.expect("a call");
    assert!(matches!(refused, Err(Error::Fault(f)) if f.code == Code::TooManyRequests && f.retry_after_s == Some(1)));
    bench.gate.add_permits(9);
    assert!(answers(calls).await.iter().all(Option::is_some));
}

#[tokio::test]
async fn a_panic_tells_who_waits_and_the_next_call_works() {
    let bench = Bench::new(1);
    let calls = bench.calls(&[77, 1, 2]).await;
    bench.gate.add_permits(1);
    assert_eq!(answers(calls).await, [None, None, None]);
    bench.gate.add_permits(1);
    assert_eq!(bench.call(5).await.expect("a call").ok(), Some(10));
}

#[tokio::test]
async fn two_batches_may_be_under_way() {
    let bench = Bench::new(2);
    let calls = bench.calls(&[1]).await;
    let second = bench.call(2);
    while bench.batcher.line.lock().under_way < 2 || !bench.batcher.line.lock().waiting.is_empty() {
        tokio::task::yield_now().await;
    }
    bench.gate.add_permits(9);
    assert_eq!(answers(calls).await, [Some(2)]);
    assert_eq!(second.await.expect("a call").ok(), Some(4));
}
