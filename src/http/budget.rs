//! What requests may hold at once, all of them together and those of one account: bytes of bodies and answers, uploads, waiting
//! calls.
//!
//! Each request keeps a tab of what it holds. Who calls is noted on it by the extractor that finds out, before any body is
//! read; what is on it is given back when the request is answered. Whoever finds no room waits for a moment, and is then told
//! to come again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::domain::fault::{Code, Fault};
use crate::service::Limits;

/// One account has at most this part of each budget: it cannot shut the others out.
const PARTS: usize = 4;
/// How long a request waits for room: what is held is mostly held for milliseconds.
const ROOM_WAIT: Duration = Duration::from_secs(3);
/// After how many seconds one that found no room may come again.
const COME_AGAIN_S: u32 = 2;
/// Bytes are counted in pieces of this size.
const PIECE: usize = 1024;
/// The largest answer, in bytes: whoever reads it keeps it all in memory as well.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bodies and answers up to this size cost less than to count them: a connection has buffers as large. So a beat or a log-in never
/// stands in line behind what is large.
const BYTES_FREE: usize = 16 * 1024;

/// Whose budget a request draws on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Payer {
    /// Not known, or not yet: all of them share one part.
    #[default]
    Nobody,
    /// A person, or whoever owns the key: with many keys one has no more.
    Account(Uuid),
    /// A key that came with the installation.
    Key(String),
}

/// Something of which there is so much, and no more.
pub struct Allowance {
    /// What it is, as the caller is told.
    what: &'static str,
    all: Arc<Semaphore>,
    part: usize,
    parts: Mutex<HashMap<Payer, Weak<Semaphore>>>,
}

/// What is held of a budget, until it is dropped.
pub struct Holding {
    of_payer: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Holding {
    /// Keeps at most so much, and gives the rest back.
    fn keep(&mut self, weight: usize) {
        for held in [&mut self.of_payer, &mut self.of_all] {
            drop(held.split(held.num_permits().saturating_sub(weight.max(1))));
        }
    }
}

impl Allowance {
    fn new(what: &'static str, all: usize) -> Self {
        let part = (all / PARTS).max(1);
        Self { what, all: Arc::new(Semaphore::new(all)), part, parts: Mutex::default() }
    }

    fn part_of(&self, payer: Payer) -> Arc<Semaphore> {
        let mut parts = self.parts.lock();
        if let Some(part) = parts.get(&payer).and_then(Weak::upgrade) {
            return part;
        }
        if parts.len() == parts.capacity() {
            // Rather than to grow, forget those who hold nothing.
            parts.retain(|_, part| part.strong_count() > 0);
        }
        let part = Arc::new(Semaphore::new(self.part));
        parts.insert(payer, Arc::downgrade(&part));
        part
    }

    fn weight(&self, of: usize) -> u32 {
        u32::try_from(of.clamp(1, self.part)).unwrap_or(u32::MAX)
    }

    /// Takes so much for a payer, and waits for it a moment if there is no room.
    async fn take(&self, payer: Payer, weight: usize) -> Result<Holding, Fault> {
        let (part, weight) = (self.part_of(payer), self.weight(weight));
        let taking = async {
            // One's own first: who has taken too much holds up nobody else.
            let of_payer = part.acquire_many_owned(weight).await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_many_owned(weight).await.ok()?;
            Some(Holding { of_payer, of_all })
        };
        tokio::time::timeout(ROOM_WAIT, taking).await.ok().flatten().ok_or_else(|| self.full())
    }

    /// Takes so much at once or not at all.
    fn try_take(&self, payer: Payer, weight: usize) -> Result<Holding, Fault> {
        let (part, weight) = (self.part_of(payer), self.weight(weight));
        let of_payer = part.try_acquire_many_owned(weight).map_err(|_| self.full())?;
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(weight).map_err(|_| self.full())?;
        Ok(Holding { of_payer, of_all })
    }

    fn full(&self) -> Fault {
        let detail =
            format!("There is no room for more {}: so much is under way, of this account or in all.", self.what);
        Fault::new(Code::TooManyRequests, detail).retry_after(COME_AGAIN_S)
    }
}

/// All budgets of a server.
pub struct Budgets {
    bytes: Allowance,
    uploads: Allowance,
    claims: Allowance,
    lookups: Allowance,
    streams: Allowance,
}

impl Budgets {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes: Allowance::new("bytes of bodies and answers", limits.bytes_in_flight_max / PIECE),
            uploads: Allowance::new("uploads", limits.uploads_max),
            claims: Allowance::new("waiting claims", limits.claims_waiting_max),
            lookups: Allowance::new("waiting look-ups", limits.lookups_waiting_max),
            streams: Allowance::new("streams of events", limits.streams_max),
        }
    }
}

/// What one request holds.
struct Tab {
    budgets: Arc<Budgets>,
    payer: RefCell<Payer>,
    held: RefCell<Vec<Holding>>,
    /// Whether it only asks: then an answer for which there is no room is refused, and not what was done.
    asks: bool,
}

tokio::task_local! {
    static TAB: Tab;
}

/// Answers a request with a tab of its own. `asks` says that it changes nothing.
pub async fn keep_tab<T>(budgets: Arc<Budgets>, asks: bool, answer: impl Future<Output = T>) -> T {
    TAB.scope(Tab { budgets, payer: RefCell::default(), held: RefCell::default(), asks }, answer).await
}

/// Notes on the tab who calls.
pub fn called_by(payer: Payer) {
    // Nothing is held where no tab is kept.
    let _ = TAB.try_with(|tab| tab.payer.replace(payer));
}

/// Makes room for a body of so many bytes.
pub async fn hold_bytes(bytes: usize) -> Result<(), Fault> {
    if bytes <= BYTES_FREE {
        return Ok(());
    }
    hold(|budgets| &budgets.bytes, bytes.div_ceil(PIECE)).await
}

/// Gives back what the body just read did not need of the room that was made for it last.
pub fn body_had(bytes: usize) {
    // Nothing is held where no tab is kept.
    let _ = TAB.try_with(|tab| tab.held.borrow_mut().last_mut().map(|held| held.keep(bytes.div_ceil(PIECE))));
}

/// Makes room for an upload.
pub async fn hold_upload() -> Result<(), Fault> {
    hold(|budgets| &budgets.uploads, 1).await
}

/// Makes room for a claim that waits, if it does.
pub async fn hold_claim(wait: Duration) -> Result<(), Fault> {
    if wait.is_zero() { Ok(()) } else { hold(|budgets| &budgets.claims, 1).await }
}

/// Makes room for a look-up that waits, if it does.
pub async fn hold_lookup(wait: Duration) -> Result<(), Fault> {
    if wait.is_zero() { Ok(()) } else { hold(|budgets| &budgets.lookups, 1).await }
}

/// Makes room for a stream, which holds it itself: it goes on after its request.
pub async fn hold_stream() -> Result<Option<Holding>, Fault> {
    hold(|budgets| &budgets.streams, 1).await?;
    Ok(TAB.try_with(|tab| tab.held.borrow_mut().pop()).ok().flatten())
}

async fn hold(budget: impl Fn(&Budgets) -> &Allowance, weight: usize) -> Result<(), Fault> {
    let Ok((budgets, payer)) = TAB.try_with(|tab| (Arc::clone(&tab.budgets), tab.payer.borrow().clone())) else {
        return Ok(());
    };
    let held = budget(&budgets).take(payer, weight).await?;
    TAB.with(|tab| tab.held.borrow_mut().push(held));
    Ok(())
}

/// The body of an answer, which counts until the client has read it; what the request held is given back first. What a request did is
/// always told: its answer is bounded by what it may do at once.
pub fn answer(body: impl Into<Bytes>) -> Result<Bytes, Fault> {
    let body = body.into();
    if body.len() <= BYTES_FREE {
        return Ok(body);
    }
    let asks = TAB.try_with(|tab| tab.asks).unwrap_or(true);
    if asks && body.len() > ANSWER_BYTES_MAX {
        let detail = format!("The answer has {} bytes; the limit is {ANSWER_BYTES_MAX}.", body.len());
        return Err(Fault::new(Code::AnswerTooLarge, detail));
    }
    let counted = TAB.try_with(|tab| {
        tab.held.borrow_mut().clear();
        tab.budgets.bytes.try_take(tab.payer.borrow().clone(), body.len().div_ceil(PIECE))
    });
    match counted {
        Ok(Ok(held)) => Ok(Bytes::from_owner(CountedBytes { body, _held: held })),
        Ok(Err(full)) if asks => Err(full),
        Ok(Err(_)) | Err(_) => Ok(body),
    }
}

/// Bytes with what they hold of a budget.
struct CountedBytes {
    body: Bytes,
    _held: Holding,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_account_has_a_part_and_all_have_the_whole() {
        let budget = Allowance::new("uploads", 8);
        let account = |n: u128| Payer::Account(Uuid::from_u128(n));
        let mut held: Vec<Holding> = (0..2).map(|_| budget.try_take(account(1), 1).expect("room")).collect();
        assert_eq!(budget.try_take(account(1), 1).err().map(|full| full.code), Some(Code::TooManyRequests));
        held.extend((2..5).map(|n| budget.try_take(account(n), 9).expect("its part, and no more")));
        assert!(budget.try_take(account(5), 1).is_err(), "nothing is left");
        held.clear();
        assert!(budget.try_take(account(5), 2).is_ok());
        for n in 0..10_000 {
            budget.part_of(account(n));
        }
        assert!(budget.parts.lock().len() < 100, "who holds nothing is forgotten");
    }

    #[tokio::test]
    async fn what_a_request_held_is_given_back_and_its_answer_counts_until_it_is_read() {
        let budgets = Arc::new(Budgets {
            bytes: Allowance::new("bytes", 400),
            uploads: Allowance::new("uploads", 4),
            claims: Allowance::new("claims", 4),
            lookups: Allowance::new("lookups", 4),
            streams: Allowance::new("streams", 4),
        });
        let all = Arc::clone(&budgets.bytes.all);
        let left = || &all;
        let request = async |asks: bool, bytes: usize| {
            keep_tab(Arc::clone(&budgets), asks, async move {
                called_by(Payer::Account(Uuid::nil()));
                hold_bytes(100 * PIECE).await.expect("room");
                body_had(30 * PIECE);
                assert_eq!(left().available_permits(), 400 - 30, "a body counts as it is");
                answer(vec![0; bytes])
            })
            .await
        };
        let unread = request(true, 60 * PIECE).await.expect("an answer");
        assert_eq!(budgets.bytes.all.available_permits(), 340);
        assert!(budgets.bytes.try_take(Payer::Account(Uuid::nil()), 41).is_err());
        let read = unread.slice(..10);
        drop((unread, read));
        assert_eq!(budgets.bytes.all.available_permits(), 400);
        let done = request(false, ANSWER_BYTES_MAX + 1).await.expect("what was done is told");
        assert_eq!(done.len(), ANSWER_BYTES_MAX + 1);
        drop(done);
        let large = request(true, ANSWER_BYTES_MAX + 1).await.expect_err("too large");
        assert_eq!((large.code, budgets.bytes.all.available_permits()), (Code::AnswerTooLarge, 400));
    }
}
