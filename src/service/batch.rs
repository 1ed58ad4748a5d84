//! Group commit: calls that arrive while the batch before them is being committed go together, in one statement
//! and one COMMIT, and each gets its own answer. A call that finds nothing under way goes at once.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{Error, Result};
use crate::domain::fault::{Code, Fault};
use crate::store::db::within;

/// How often a batch is carried out again after another transaction crossed it, or its connection was lost.
const CROSSED_MAX: usize = 3;

/// How often a batch that follows one of several calls lets every task that is ready go first: the next calls of those who were
/// answered together then come along. A call that is alone waits for nobody.
const GATHERING: usize = 3;

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
    /// The calls of the last batch.
    last: usize,
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
            line: Mutex::new(Line { waiting: VecDeque::new(), weight: 0, last: 0, under_way: 0 }),
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
            let mut line = self.line.lock();
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
}

/// One batch after another, until nobody waits.
struct Lane<I: Clone + Send + 'static, O: Send + 'static> {
    batcher: Arc<Batcher<I, O>>,
    open: bool,
}

impl<I: Clone + Send + 'static, O: Send + 'static> Lane<I, O> {
    async fn drive(mut self) {
        loop {
            let rounds = if self.batcher.line.lock().last > 1 { GATHERING } else { 0 };
            for _ in 0..rounds {
                tokio::task::yield_now().await;
            }
            let Some(batch) = self.next() else { return };
            carry_out(&self.batcher, batch).await;
        }
    }

    /// The next calls in line, as many as fit; when there is none the lane closes, under the same lock, so that the
    /// next call opens another.
    fn next(&mut self) -> Option<Vec<Call<I, O>>> {
        let mut line = self.batcher.line.lock();
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
        line.last = batch.len();
        Some(batch)
    }
}

impl<I: Clone + Send + 'static, O: Send + 'static> Drop for Lane<I, O> {
    fn drop(&mut self) {
        if self.open {
            // Cut short by a panic: who waits is told rather than left waiting.
            let mut line = self.batcher.line.lock();
            line.under_way -= 1;
            line.waiting.clear();
            line.weight = 0;
        }
    }
}

async fn carry_out<I: Clone + Send + 'static, O: Send + 'static>(batcher: &Arc<Batcher<I, O>>, batch: Vec<Call<I, O>>) {
    let alone = batch.len() == 1;
    let mut done = (batcher.run)(items_of(&batch)).await;
    let again = |error: &Error| error.is_crossed() || (batcher.capacity.repeatable && error.is_cut_off());
    for _ in 0..CROSSED_MAX {
        if !done.as_ref().is_err_and(again) {
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
        Err(error) if alone => {
            batch.into_iter().zip([error]).for_each(|(call, error)| deliver(call, Err(error), &batcher.lost));
        }
        Err(error) if error.is_away() => {
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
mod tests;
