//! Group commit: calls that arrive while the batch before them is being committed go together, in one statement
//! and one COMMIT, and each gets its own answer. A call that finds nothing under way goes at once, alone.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{Error, Result};
use crate::domain::fault::{Code, Fault};
use crate::store::db::within;

/// How often a batch is carried out again after another transaction crossed it, or its connection was lost.
const CROSSED_MAX: usize = 3;

/// What a batch comes to.
pub struct Answers<O> {
    /// One for each item, in their order.
    pub each: Vec<O>,
    /// What is done before anybody is answered; the next batch goes on meanwhile.
    pub then: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<O> From<Vec<O>> for Answers<O> {
    fn from(each: Vec<O>) -> Self {
        Self { each, then: None }
    }
}

type Run<I, O> = Box<dyn Fn(Vec<I>) -> BoxFuture<'static, Result<Answers<O>>> + Send + Sync>;
type Lost<I, O> = Box<dyn Fn(I, O) + Send + Sync>;

/// A line of calls of one kind. `I` is what a call asks for, `O` what it is answered with.
pub struct Batcher<I, O> {
    line: Mutex<Line<I, O>>,
    capacity: Capacity,
    run: Run<I, O>,
    lost: Lost<I, O>,
}

/// What bounds a batcher.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// The most weight that may wait in line; more is told to come again.
    pub waiting: usize,
    /// The most weight in one batch: a statement must stay far below its time-out.
    pub weight: usize,
    /// Batches under way at once: while one waits for its COMMIT, PostgreSQL can work on another.
    pub at_once: u32,
    /// A batch beside one that is under way begins only when more than this weight waits: small ones cost more than they
    /// gain.
    pub crowd: usize,
    /// Whether a batch does no harm when it is carried out twice: one whose connection was lost is, at once.
    pub repeatable: bool,
}

impl Capacity {
    /// A batch of 1,000 jobs takes PostgreSQL some tens of milliseconds, and a line of 20,000 is a second or two of work.
    /// A second batch begins only when a whole one waits: the larger the batches, the less each call costs.
    pub const USUAL: Self = Self { waiting: 20_000, weight: 1_000, at_once: 2, crowd: 1_000, repeatable: false };
}

struct Line<I, O> {
    waiting: VecDeque<Call<I, O>>,
    /// The weight of those who wait.
    weight: usize,
    under_way: u32,
}

struct Call<I, O> {
    item: I,
    weight: usize,
    /// Calls that share a key never go together.
    keys: Vec<u64>,
    answer: oneshot::Sender<Result<O>>,
}

impl<I: Clone + Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// `run` answers a batch item by item; if it fails as a whole, the items are tried one by one, so that one bad
    /// item harms nobody else. What nobody is there to take is given to `lost`.
    pub fn new<F>(
        capacity: Capacity,
        run: impl Fn(Vec<I>) -> F + Send + Sync + 'static,
        lost: impl Fn(I, O) + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Result<Answers<O>>> + Send + 'static,
    {
        Arc::new(Self {
            line: Mutex::new(Line { waiting: VecDeque::new(), weight: 0, under_way: 0 }),
            capacity,
            run: Box::new(move |items| Box::pin(run(items))),
            lost: Box::new(lost),
        })
    }

    /// Hands an item over and waits for its answer, as long as any use of the database may take. Once handed over it is
    /// carried out, whoever hangs up.
    pub async fn call(self: &Arc<Self>, item: I, weight: usize) -> Result<O> {
        self.call_apart(item, weight, Vec::new()).await
    }

    /// The same for calls of which those that share a key must not go together: the later one waits for the next batch,
    /// and with it all behind.
    pub async fn call_apart(self: &Arc<Self>, item: I, weight: usize, keys: Vec<u64>) -> Result<O> {
        let (answer, answered) = oneshot::channel();
        let lead = {
            let mut line = self.lock();
            if line.weight >= self.capacity.waiting {
                let fault = Fault::new(Code::TooManyRequests, "More calls wait than can be served.").retry_after(1);
                return Err(fault.into());
            }
            line.weight += weight;
            line.waiting.push_back(Call { item, weight, keys, answer });
            let crowded = line.weight > self.capacity.crowd;
            let lead = line.under_way == 0 || (crowded && line.under_way < self.capacity.at_once);
            line.under_way += u32::from(lead);
            lead
        };
        if lead {
            let lane = Lane { batcher: Arc::clone(self), open: true };
            tokio::spawn(lane.drive().in_current_span());
        }
        within(async { answered.await.unwrap_or_else(|_| Err(Error::Internal("a batch was dropped".into()))) }).await
    }

    fn lock(&self) -> MutexGuard<'_, Line<I, O>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One batch after another, until nobody waits.
struct Lane<I: Clone + Send + 'static, O: Send + 'static> {
    batcher: Arc<Batcher<I, O>>,
    open: bool,
}

impl<I: Clone + Send + 'static, O: Send + 'static> Lane<I, O> {
    async fn drive(mut self) {
        while let Some(batch) = self.next() {
            carry_out(&self.batcher, batch).await;
        }
    }

    /// The next calls in line, as many as fit; when there is none the lane closes, under the same lock, so that the
    /// next call opens another.
    fn next(&mut self) -> Option<Vec<Call<I, O>>> {
        let mut line = self.batcher.lock();
        let mut weight = 0;
        let mut keys: HashSet<u64> = HashSet::new();
        let mut batch = Vec::new();
        while let Some(call) = line.waiting.front() {
            let full = weight + call.weight > self.batcher.capacity.weight;
            if !batch.is_empty() && (full || call.keys.iter().any(|key| keys.contains(key))) {
                break;
            }
            weight += call.weight;
            keys.extend(&call.keys);
            batch.extend(line.waiting.pop_front());
        }
        line.weight -= weight;
        if batch.is_empty() {
            line.under_way -= 1;
            self.open = false;
            return None;
        }
        Some(batch)
    }
}

impl<I: Clone + Send + 'static, O: Send + 'static> Drop for Lane<I, O> {
    fn drop(&mut self) {
        if self.open {
            // Cut short by a panic: who waits is told rather than left waiting.
            let mut line = self.batcher.lock();
            line.under_way -= 1;
            line.waiting.clear();
            line.weight = 0;
        }
    }
}

async fn carry_out<I: Clone + Send + 'static, O: Send + 'static>(batcher: &Arc<Batcher<I, O>>, batch: Vec<Call<I, O>>) {
    let alone = batch.len() == 1;
    let mut done = (batcher.run)(items_of(&batch)).await;
    for _ in 0..CROSSED_MAX {
        let Err(error) = &done else { break };
        if !error.is_crossed() && !(batcher.capacity.repeatable && error.is_cut_off()) {
            break;
        }
        done = (batcher.run)(items_of(&batch)).await;
    }
    match done {
        Ok(Answers { each, then: None }) => deliver_all(batch, each, &batcher.lost),
        Ok(Answers { each, then: Some(then) }) => {
            let batcher = Arc::clone(batcher);
            let finish = async move {
                then.await;
                deliver_all(batch, each, &batcher.lost);
            };
            tokio::spawn(finish.in_current_span());
        }
        Err(error) if alone || error.is_away() => {
            // Nobody is better served by asking again for each: it would only wait as long again.
            for call in batch {
                deliver(call, Err(error.alike()), &batcher.lost);
            }
        }
        Err(error) => {
            tracing::debug!(%error, calls = batch.len(), "a batch failed; its items go one by one");
            for call in batch {
                let mut done = (batcher.run)(vec![call.item.clone()]).await;
                for _ in 0..CROSSED_MAX {
                    if !done.as_ref().is_err_and(Error::is_crossed) {
                        break;
                    }
                    done = (batcher.run)(vec![call.item.clone()]).await;
                }
                let answer = match done {
                    Ok(Answers { mut each, then }) => {
                        if let Some(then) = then {
                            then.await;
                        }
                        each.pop().ok_or_else(|| Error::Internal("no answer".into()))
                    }
                    Err(error) => Err(error),
                };
                deliver(call, answer, &batcher.lost);
            }
        }
    }
}

fn items_of<I: Clone, O>(batch: &[Call<I, O>]) -> Vec<I> {
    batch.iter().map(|call| call.item.clone()).collect()
}

fn deliver_all<I, O>(batch: Vec<Call<I, O>>, answers: Vec<O>, lost: &Lost<I, O>) {
    for (call, answer) in batch.into_iter().zip(answers) {
        deliver(call, Ok(answer), lost);
    }
}

fn deliver<I, O>(call: Call<I, O>, answer: Result<O>, lost: &Lost<I, O>) {
    if let Err(Ok(unheard)) = call.answer.send(answer) {
        lost(call.item, unheard);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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
                while self.batcher.lock().waiting.len() + 1 < calls.len() || self.batcher.lock().under_way == 0 {
                    tokio::task::yield_now().await;
                }
                while calls.len() == 1 && !self.batcher.lock().waiting.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
            calls
        }

        fn batches(&self) -> Vec<Vec<i32>> {
            self.batches.lock().expect("the batches").clone()
        }
    }

    async fn run(gate: Arc<Semaphore>, batches: Arc<Mutex<Vec<Vec<i32>>>>, items: Vec<i32>) -> Result<Answers<i32>> {
        drop(gate.acquire().await.map(tokio::sync::SemaphorePermit::forget));
        batches.lock().expect("the batches").push(items.clone());
        assert!(!items.contains(&77), "as ordered");
        if items.contains(&99) {
            return Err(sqlx::Error::PoolTimedOut.into());
        }
        let before = batches.lock().expect("the batches").iter().filter(|b| b.contains(&55)).count();
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
        assert_eq!(bench.batcher.lock().under_way, 0);
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
            while bench.batcher.lock().waiting.len() < calls.len() {
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
        assert!(
            matches!(refused, Err(Error::Fault(f)) if f.code == Code::TooManyRequests && f.retry_after_s == Some(1))
        );
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
        while bench.batcher.lock().under_way < 2 || !bench.batcher.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        bench.gate.add_permits(9);
        assert_eq!(answers(calls).await, [Some(2)]);
        assert_eq!(second.await.expect("a call").ok(), Some(4));
    }
}
