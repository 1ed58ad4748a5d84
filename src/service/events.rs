//! Streams of events: how often topics are looked at, and that those who follow the same share their looks.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::watch::{Glance, Watches, Watching};
use super::{Error, Result};
use crate::domain::topic::Topic;

/// The longest that a look waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(1);
/// How soon after a job has ended what it may have moved is looked at: those that end together are seen together.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// How often is looked at what is over: it may yet be tried again, promoted or removed.
const PERIOD_OVER: Duration = Duration::from_secs(10);
/// The most bytes of states that are kept for others who follow the same, as thousands of topics may be followed: those that were seen last.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The least time between two looks at a topic, however many follow it. Any job may move a list, and each of those who follow theirs has
/// another one.
const fn pause(topic: Topic) -> Duration {
    Duration::from_secs(if matches!(topic, Topic::Submissions(_)) { 2 } else { 1 })
}

/// How often a topic is looked at though nothing is heard of it.
const fn period(topic: Topic) -> Duration {
    Duration::from_secs(match topic {
        Topic::Submission(_) | Topic::Run(_) | Topic::Exports(_) | Topic::Queues => 2,
        Topic::Models | Topic::Workers | Topic::Datasets => 3,
        Topic::Submissions(_) | Topic::Runs => 5,
        Topic::Images(_) => 10,
    })
}

/// To whom a topic shows the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Audience {
    Everybody,
    /// What is an account's own.
    Account(Uuid),
    /// What lies in these cases.
    Cases(Arc<[Uuid]>),
}

/// A topic as it was seen.
#[derive(Debug)]
pub struct TopicState {
    /// JSON in one line.
    pub json: Bytes,
    /// The same whenever topic and state are, on every replica.
    pub mark: u64,
    /// Whether nothing more is to be expected of it.
    pub over: bool,
    /// The case without which it is not to be seen.
    pub case: Option<Uuid>,
}

/// The topics that streams of this replica follow.
pub struct Events {
    looks: Watches<(Topic, Audience), Weak<TopicState>>,
    kept: Mutex<KeptStates>,
    /// The periods of all streams are counted from here, so that they look at the same moments: together.
    began: Instant,
    /// How many may be looked at at once: thousands come due together, and what people ask needs connections as well.
    turns: Semaphore,
}

impl Events {
    /// Looks at so many topics at once.
    pub fn new(at_once: usize) -> Self {
        let (looks, kept) = (Watches::default(), Mutex::default());
        Self { looks, kept, began: Instant::now(), turns: Semaphore::new(at_once) }
    }

    /// How many topics are followed, each for one audience.
    pub fn followed(&self) -> usize {
        self.looks.known()
    }

    /// The next moment at which all look that look once in a period.
    fn next(&self, period: Duration) -> Instant {
        let periods = self.began.elapsed().as_nanos() / period.as_nanos() + 1;
        self.began + period * u32::try_from(periods).unwrap_or(u32::MAX)
    }
}

/// States that were seen last, whoever saw them.
#[derive(Default)]
struct KeptStates {
    states: VecDeque<Arc<TopicState>>,
    bytes: usize,
}

impl KeptStates {
    fn keep(&mut self, seen: Arc<TopicState>) {
        self.bytes += seen.json.len();
        self.states.push_back(seen);
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.states.pop_front() else { break };
            self.bytes -= oldest.json.len();
        }
    }
}

/// What one stream follows of a topic.
pub struct Following<'e> {
    pub topic: Topic,
    events: &'e Events,
    looks: Option<Watching<'e, (Topic, Audience), Weak<TopicState>>>,
    audience: Option<Audience>,
    /// When to look next.
    due: Instant,
    /// When a look must have begun that counts for it.
    since: Instant,
    /// When another look is possible.
    not_before: Instant,
    /// Whether it has been looked at.
    pub looked: bool,
    over: bool,
    /// What the reader knows of it.
    pub known: Option<u64>,
}

impl<'e> Following<'e> {
    /// Begins with a look.
    pub fn new(events: &'e Events, topic: Topic) -> Self {
        let now = Instant::now();
        let (looks, audience, looked, over, known) = (None, None, false, false, None);
        Self { topic, events, looks, audience, due: now, since: now, not_before: now, looked, over, known }
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Looks for one of an audience, or takes what another saw; nothing while that is not possible.
    pub async fn look(
        &mut self,
        audience: Audience,
        look: impl Future<Output = Result<TopicState>>,
    ) -> Result<Option<Arc<TopicState>>> {
        if self.audience.as_ref() != Some(&audience) {
            self.looks = Some(self.events.looks.join((self.topic, audience.clone())));
            self.audience = Some(audience);
        }
        let Some(looks) = &self.looks else { return Ok(None) };
        let events = self.events;
        let look = async {
            // Whoever gets no turn comes again: a stream has other topics, and its reader waits for a sign of life.
            let turn = timeout(TURN_WAIT, events.turns.acquire()).await.ok().and_then(std::result::Result::ok);
            let _turn = turn.ok_or(sqlx::Error::PoolTimedOut)?;
            let seen = Arc::new(look.await?);
            let kept = Arc::downgrade(&seen);
            events.kept.lock().keep(seen);
            Ok::<_, Error>(kept)
        };
        let pause = pause(self.topic);
        match looks.look_since(self.since, pause, look).await {
            Glance::NotBefore(at) => {
                (self.due, self.not_before) = (at, at);
                Ok(None)
            }
            Glance::Seen(Ok(seen)) => {
                let Some(seen) = seen.upgrade() else {
                    // It went, with so many others that came since.
                    self.since = Instant::now();
                    self.due = self.since + pause;
                    return Ok(None);
                };
                (self.looked, self.over, self.not_before) = (true, seen.over, Instant::now() + pause);
                self.rest();
                Ok(Some(seen))
            }
            Glance::Seen(Err(error)) if error.is_passing() => {
                self.rest();
                Ok(None)
            }
            Glance::Seen(Err(error)) => Err(error),
        }
    }

    /// Waits for its next period.
    pub fn rest(&mut self) {
        self.due = self.events.next(if self.over { PERIOD_OVER } else { period(self.topic) });
        self.since = self.due;
    }

    /// Has heard that jobs ended: what may have moved with them is looked at soon.
    pub fn hear(&mut self) {
        let moves = matches!(self.topic, Topic::Submission(_) | Topic::Submissions(_) | Topic::Queues | Topic::Models);
        let soon = self.events.next(LOOK_SOON).max(self.not_before);
        if moves && !self.over && soon < self.due {
            (self.due, self.since) = (soon, soon);
        }
    }
}
