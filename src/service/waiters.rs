//! Who waits in this process: for jobs of a model, for news of an image, for any job to end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::watch::Watches;
use crate::domain::image::ContentMd5;
use crate::domain::job::ImageStatus;
use crate::store::training::RunNews;

/// Why a waiting claim was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// This job was pushed to the queue, or popped from it, for the waiter.
    Hinted(Uuid),
    /// PostgreSQL has a job that the queue may not show.
    Probed,
    /// Nobody did: it is time to look again.
    Again,
}

/// Those who wait for jobs of one model by the version that they serve, none without any; of each version first come first, each with
/// its ticket and since when.
type Places = BTreeMap<i32, VecDeque<(u64, Instant, oneshot::Sender<Wake>)>>;

/// Who waits in this process, for jobs of a model or for news of an image.
pub struct Waiters {
    models: Mutex<HashMap<String, Places>>,
    /// Who waits for news of an image.
    pub images: Watches<ContentMd5, ImageStatus>,
    /// Who waits for news of a training run.
    pub runs: Watches<Uuid, RunNews>,
    next: std::sync::atomic::AtomicU64,
    /// Moves whenever any job ends.
    ended: watch::Sender<u64>,
    /// Jobs that were popped for a waiter who could not use them.
    unused: Mutex<Vec<Uuid>>,
    unused_news: Notify,
    /// Sessions whose claims wait here, with how many claims each.
    sessions: Mutex<HashMap<Uuid, usize>>,
}

impl Waiters {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            models: Mutex::default(),
            images: Watches::default(),
            runs: Watches::default(),
            next: Default::default(),
            ended: watch::Sender::new(0),
            unused: Mutex::default(),
            unused_news: Notify::new(),
            sessions: Mutex::default(),
        })
    }

    /// Gets in line for jobs of a model. Get in line before looking, or a push in between is missed.
    pub fn line_up(self: &Arc<Self>, model: &str, version: i32) -> Place {
        let ticket = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut models = self.models.lock();
        let places = models.entry(model.to_owned()).or_default().entry(version).or_default();
        places.push_back((ticket, Instant::now(), sender));
        Place { waiters: Arc::clone(self), model: model.to_owned(), version, ticket, receiver: Some(receiver) }
    }

    /// Wakes `count` of those who serve the version `first` or a newer one; answers how many were there to be woken.
    pub fn wake_model(&self, model: &str, first: i32, count: usize, why: Wake) -> usize {
        self.wake_each(model, first, std::iter::repeat_n(why, count))
    }

    /// Wakes one for each job of those who serve the version `first` or a newer one: the newest before others, and of each version the
    /// first in line; answers how many were there to be woken.
    pub fn wake_each(&self, model: &str, first: i32, whys: impl IntoIterator<Item = Wake>) -> usize {
        let mut models = self.models.lock();
        let Some(line) = models.get_mut(model) else { return 0 };
        let mut woken = 0;
        for why in whys {
            // One that went away meanwhile does not count.
            while let Some(sender) = next_of(line, first) {
                if sender.send(why).is_ok() {
                    woken += 1;
                    break;
                }
            }
        }
        if line.is_empty() {
            models.remove(model);
        }
        woken
    }

    /// Wakes somebody else; a job that nobody waits for goes back.
    pub fn pass_on(&self, model: &str, first: i32, why: Wake) {
        if self.wake_model(model, first, 1, why) == 0
            && let Wake::Hinted(job) = why
        {
            self.put_back(job);
        }
    }

    /// Notes a job that was given to a waiter who cannot use it: it belongs into the queue.
    fn put_back(&self, job: Uuid) {
        self.unused.lock().push(job);
        self.unused_news.notify_one();
    }

    /// Waits for jobs that are to be put back into their queues, and takes them all.
    pub async fn unused(&self) -> Vec<Uuid> {
        loop {
            let jobs = std::mem::take(&mut *self.unused.lock());
            if !jobs.is_empty() {
                return jobs;
            }
            self.unused_news.notified().await;
        }
    }

    /// How often anybody got in line since the start: who is woken for nothing gets in line again.
    pub fn lined_up(&self) -> u64 {
        self.next.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How many who serve the version `first` or a newer one wait for jobs of a model.
    pub fn waiting_for(&self, model: &str, first: i32) -> usize {
        self.models.lock().get(model).map_or(0, |line| line.range(first..).map(|(_, places)| places.len()).sum())
    }

    /// The longest that one of them has waited.
    pub fn longest_wait(&self, model: &str, first: i32) -> Option<Duration> {
        let models = self.models.lock();
        let since = models.get(model)?.range(first..).filter_map(|(_, places)| Some(places.front()?.1)).min();
        Some(since?.elapsed())
    }

    /// The models that anybody waits for, and how many do.
    pub fn waited_for(&self) -> Vec<(String, usize)> {
        let count = |line: &Places| line.values().map(VecDeque::len).sum();
        self.models.lock().iter().map(|(model, line)| (model.clone(), count(line))).collect()
    }

    /// Wakes everybody who waits for jobs on these images to end.
    pub fn jobs_ended(&self, images: impl IntoIterator<Item = ContentMd5>) {
        if self.images.tell(images) {
            self.ended.send_modify(|n| *n += 1);
        }
    }

    /// Notes that a session waits here, until the guard is dropped: it is kept alive meanwhile.
    pub fn hold_session(self: &Arc<Self>, session: Uuid) -> WaitingSession {
        *self.sessions.lock().entry(session).or_default() += 1;
        WaitingSession { waiters: Arc::clone(self), session }
    }

    /// The sessions that wait here now.
    pub fn sessions(&self) -> Vec<Uuid> {
        self.sessions.lock().keys().copied().collect()
    }

    /// Follows the ending of jobs, any of them.
    pub fn watch_ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}

/// Takes the next out of the line.
fn next_of(line: &mut Places, first: i32) -> Option<oneshot::Sender<Wake>> {
    let mut newest = line.last_entry().filter(|newest| *newest.key() >= first)?;
    let (_, _, sender) = newest.get_mut().pop_front()?;
    if newest.get().is_empty() {
        newest.remove();
    }
    Some(sender)
}

/// A place in line. One that leaves after it was woken, but without having used the wake-up, passes it on.
pub struct Place {
    waiters: Arc<Waiters>,
    model: String,
    version: i32,
    ticket: u64,
    receiver: Option<oneshot::Receiver<Wake>>,
}

impl Place {
    /// Waits until woken; the place is then used up.
    pub async fn woken(mut self) -> Wake {
        let Some(receiver) = self.receiver.as_mut() else { return Wake::Probed };
        let why = receiver.await.unwrap_or(Wake::Probed);
        self.receiver = None;
        why
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        let mut models = self.waiters.models.lock();
        if let Some(line) = models.get_mut(&self.model) {
            if let Some(places) = line.get_mut(&self.version) {
                places.retain(|(ticket, ..)| *ticket != self.ticket);
                if places.is_empty() {
                    line.remove(&self.version);
                }
            }
            if line.is_empty() {
                models.remove(&self.model);
            }
        }
        drop(models);
        if let Ok(why) = receiver.try_recv() {
            self.waiters.pass_on(&self.model, self.version, why);
        }
    }
}

/// A session whose claim waits; see [`Waiters::hold_session`].
pub struct WaitingSession {
    waiters: Arc<Waiters>,
    session: Uuid,
}

impl Drop for WaitingSession {
    fn drop(&mut self) {
        let mut sessions = self.waiters.sessions.lock();
        if let Some(count) = sessions.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_given_to_a_waiter_that_leaves_goes_to_the_next_or_back() {
        let (waiters, job) = (Waiters::new(), Uuid::from_u128(7));
        let (first, second) = (waiters.line_up("ocr", 1), waiters.line_up("ocr", 1));
        assert_eq!(waiters.wake_each("ocr", 0, [Wake::Hinted(job)]), 1);
        drop(first);
        assert_eq!(second.woken().await, Wake::Hinted(job));

        let only = waiters.line_up("ocr", 1);
        assert_eq!(waiters.wake_each("ocr", 0, [Wake::Hinted(job), Wake::Probed]), 1, "nobody is there for the second");
        drop(only);
        assert_eq!(waiters.unused().await, [job]);
    }

    #[tokio::test]
    async fn newer_versions_are_woken_before_older_ones_and_those_before_the_first_never() {
        let waiters = Waiters::new();
        let (old, new, newer) = (waiters.line_up("ocr", 1), waiters.line_up("ocr", 2), waiters.line_up("ocr", 2));
        let jobs: Vec<Wake> = (0..4).map(|n| Wake::Hinted(Uuid::from_u128(n))).collect();
        assert_eq!((waiters.waiting_for("ocr", 2), waiters.waiting_for("ocr", 0)), (2, 3));
        assert_eq!(waiters.wake_each("ocr", 2, jobs.clone()), 2);
        assert_eq!((new.woken().await, newer.woken().await), (jobs[0], jobs[1]));
        assert_eq!(waiters.wake_each("ocr", 1, jobs.clone()), 1);
        assert_eq!(old.woken().await, jobs[0]);
        assert!(waiters.waited_for().is_empty());
    }
}
