//! How far submissions are. A great one is counted in bites, of which those that ended are counted once; and what has ended
//! whole is kept in PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::Result;
use crate::store::Db;
use crate::store::submissions::Submission;
use crate::store::tallies::{self, Bite, Tally};

/// How many images of a submission are counted by one statement.
const BITE_IMAGES: i64 = 1_000;
/// How many submissions one statement counts.
const AT_ONCE: usize = 20;
/// A great submission that lives is counted again when so many times what it took has passed: not more than a tenth of one
/// connection goes into it, however many ask.
const PAUSE: u32 = 10;
/// The most great submissions that are remembered; then it begins afresh.
const REMEMBERED_MAX: usize = 1_000;

/// What this process remembers of great submissions that are not done.
pub struct Tallies {
    db: Db,
    known: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Remembered>>>>,
}

/// What is known of one, in order of its images; neighbours that have ended are one.
#[derive(Default)]
struct Remembered {
    stamp: String,
    parts: Vec<Part>,
    /// When it was counted to its end, and how long that took.
    counted: Option<(Instant, Duration)>,
}

struct Part {
    after: i64,
    bite: Bite,
}

/// How far a submission is.
#[derive(Debug, Clone, Default)]
pub struct HowFar {
    pub tally: Tally,
    /// The image after which the first request lives, if one does: all before have ended.
    pub lives_after: Option<i64>,
}

impl Tallies {
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), known: Mutex::default() }
    }

    /// How far these submissions are, in their order. Of a great one that lives, an answer of a moment ago counts, unless it
    /// is to be `fresh`.
    pub async fn of(&self, submissions: &[Submission], fresh: bool) -> Result<Vec<HowFar>> {
        let mut counted: HashMap<Uuid, HowFar> = HashMap::new();
        let open: Vec<&Submission> = submissions.iter().filter(|s| s.tally.is_none()).collect();
        for some in open.chunks(AT_ONCE) {
            let mut done = Vec::new();
            for (submission, progress) in self.count_some(some, fresh).await? {
                if progress.lives_after.is_none() {
                    done.push((submission.id, submission.stamp.as_str(), progress.tally.clone()));
                }
                counted.insert(submission.id, progress);
            }
            if !done.is_empty() {
                self.db.run(async |db| tallies::keep(db, &done).await).await?;
            }
        }
        let of = |submission: &Submission| match &submission.tally {
            Some(tally) => HowFar { tally: tally.0.clone(), lives_after: None },
            None => counted.remove(&submission.id).unwrap_or_default(),
        };
        Ok(submissions.iter().map(of).collect())
    }

    /// The first bite of each tells whether it is great.
    async fn count_some<'s>(&self, some: &[&'s Submission], fresh: bool) -> Result<Vec<(&'s Submission, HowFar)>> {
        let remembered = |s: &&Submission| self.known.lock().contains_key(&s.id);
        let (mut great, small): (Vec<&Submission>, Vec<&Submission>) = some.iter().copied().partition(remembered);
        let places: Vec<(Uuid, i64)> = small.iter().map(|s| (s.id, i64::MIN)).collect();
        let mut bites = self.db.run(async |db| tallies::count(db, &places, BITE_IMAGES).await).await?;
        let mut counted = Vec::new();
        for submission in small {
            match bites.remove(&submission.id) {
                Some(first) if first.tally.images == BITE_IMAGES => great.push(submission),
                first => {
                    let part = first.map(|bite| Part { after: i64::MIN, bite });
                    counted.push((submission, HowFar::of(part.as_slice())));
                }
            }
        }
        for submission in great {
            counted.push((submission, self.count_great(submission, fresh).await?));
        }
        Ok(counted)
    }

    /// One counts at a time; who comes next goes on where the last one was cut off.
    async fn count_great(&self, submission: &Submission, fresh: bool) -> Result<HowFar> {
        let known = self.remember(submission.id);
        let mut known = known.lock().await;
        if known.stamp != submission.stamp {
            *known = Remembered { stamp: submission.stamp.clone(), ..Remembered::default() };
        }
        if let Some((at, took)) = known.counted.filter(|_| !fresh)
            && at.elapsed() < took * PAUSE
        {
            return Ok(HowFar::of(&known.parts));
        }
        let began = Instant::now();
        for part in known.parts.iter_mut().filter(|part| !part.bite.tally.ended()) {
            let again = self.count(submission.id, part.after, part.bite.tally.images).await?;
            // Images of it may be gone.
            part.bite.tally = again.map(|bite| bite.tally).unwrap_or_default();
        }
        loop {
            let after = known.parts.last().map_or(i64::MIN, |part| part.bite.last);
            let Some(bite) = self.count(submission.id, after, BITE_IMAGES).await? else { break };
            known.parts.push(Part { after, bite });
        }
        known.join();
        known.counted = Some((Instant::now(), began.elapsed()));
        let progress = HowFar::of(&known.parts);
        if progress.lives_after.is_none() {
            self.known.lock().remove(&submission.id);
        }
        Ok(progress)
    }

    async fn count(&self, submission: Uuid, after: i64, images: i64) -> Result<Option<Bite>> {
        let places = [(submission, after)];
        Ok(self.db.run(async |db| tallies::count(db, &places, images).await).await?.remove(&submission))
    }

    fn remember(&self, submission: Uuid) -> Arc<tokio::sync::Mutex<Remembered>> {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&submission) {
            known.clear();
        }
        Arc::clone(known.entry(submission).or_default())
    }
}

impl Remembered {
    /// Makes one of neighbours that have ended.
    fn join(&mut self) {
        let mut joined: Vec<Part> = Vec::new();
        for part in self.parts.drain(..) {
            match joined.last_mut() {
                Some(last) if last.bite.tally.ended() && part.bite.tally.ended() => {
                    last.bite.tally.add(&part.bite.tally);
                    last.bite.last = part.bite.last;
                }
                _ => joined.push(part),
            }
        }
        self.parts = joined;
    }
}

impl HowFar {
    fn of(parts: &[Part]) -> Self {
        let mut tally = Tally::default();
        for part in parts {
            tally.add(&part.bite.tally);
        }
        let lives = parts.iter().find(|part| !part.bite.tally.ended());
        Self { tally, lives_after: lives.map(|part| part.after) }
    }
}
