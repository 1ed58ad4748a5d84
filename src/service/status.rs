//! Look-ups by MD5: from the mirror when it knows, from PostgreSQL when it does not.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::accounts::User;
use super::batch::{Answers, Batcher, Capacity};
use super::queues::Gates;
use super::{Ctx, Error, Result};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, Overall};
use crate::domain::name::{Name, shorten};
use crate::index::status::{Fill, ReadyAnswer};
use crate::store::status::{self, AskedBy, RESULTS_BYTES_MAX, VisibleStatus};

/// How often a waiting look-up looks again though nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The line of look-ups that the mirror cannot answer.
const LINE: Capacity = Capacity { at_once: 2, repeatable: true, ..Capacity::USUAL };

/// The line of look-ups that the mirror may have an answer ready for: a journey to Redis costs more than what it asks. Another begins
/// beside it as soon as a few wait.
const READY_LINE: Capacity = Capacity { weight: 100, crowd: 4, ..Capacity::USUAL };

/// The images of a call that are stored, visible to its caller or not.
pub type Visible = Vec<(ContentMd5, Arc<VisibleStatus>)>;

/// What one call asks of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Those of the caller; none of an administrator, who sees all.
    cases: Arc<[Uuid]>,
    images: Vec<ContentMd5>,
    results: bool,
}

/// An image, and the cases whose member asks.
type ReadyLookup = (ContentMd5, Arc<[Uuid]>);

/// What is known of images.
pub struct Lookups {
    ctx: Arc<Ctx>,
    ready: Arc<Batcher<ReadyLookup, Option<ReadyAnswer>>>,
    reads: Arc<Batcher<Lookup, Visible>>,
}

impl Lookups {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>) -> Self {
        let (reading, loading) = (Arc::clone(ctx), Arc::clone(ctx));
        Self {
            ctx: Arc::clone(ctx),
            ready: Batcher::new(READY_LINE, move |asked| ready_together(Arc::clone(&reading), asked), |_, _| {}),
            reads: Batcher::new(LINE, move |loads| load_together(Arc::clone(&loading), loads), |_, _| {}),
        }
    }

    /// The statuses of those of these images that the user may see.
    pub async fn find(
        &self,
        user: &User,
        images: &[ContentMd5],
        results: bool,
    ) -> Result<HashMap<ContentMd5, ImageStatus>> {
        let mut mirrored = self.ctx.index.read_statuses(images, &cases_of(user)).await;
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for md5 in images {
            match mirrored.remove(md5) {
                Some(m) if !(results && m.partial) && (m.entitled || user.is_admin()) => {
                    found.insert(*md5, m.status);
                }
                // Asked for twice in one request.
                None if found.contains_key(md5) => {}
                _ => missing.push(*md5),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        found.extend(Box::pin(self.load(user, missing, results)).await?);
        Ok(found)
    }

    /// The same from PostgreSQL, together with other calls that come at the same time, filling the mirror with what was missing
    /// there.
    async fn load(
        &self,
        user: &User,
        missing: Vec<ContentMd5>,
        results: bool,
    ) -> Result<HashMap<ContentMd5, ImageStatus>> {
        let (weight, load) = (missing.len(), Lookup { cases: cases_of(user), images: missing, results });
        let loaded = self.reads.call(load, weight).await?;
        let visible =
            |seen: &Arc<VisibleStatus>| user.is_admin() || seen.cases.iter().any(|case| user.role_in(*case).is_some());
        Ok(loaded.into_iter().filter(|(_, seen)| visible(seen)).map(|(md5, seen)| (md5, seen.status.clone())).collect())
    }

    /// One image's status with the results of these models only, however large those of all are.
    async fn find_named(
        &self,
        user: &User,
        md5: ContentMd5,
        models: &[String],
    ) -> Result<HashMap<ContentMd5, ImageStatus>> {
        let mut found = self.find(user, &[md5], false).await?;
        if let Some(status) = found.get_mut(&md5) {
            let results = self.ctx.db.run(async |db| status::results_of(db, md5, models).await).await?;
            status.results = results.ok_or_else(too_large)?;
        }
        Ok(found)
    }

    /// The whole answer about one image as JSON, where the mirror has it ready: all its jobs have ended.
    pub async fn ready_answer(&self, user: &User, md5: ContentMd5) -> Option<String> {
        let answer = self.ready.call((md5, cases_of(user)), 1).await.ok()??;
        (answer.entitled || user.is_admin()).then_some(answer.json)
    }

    /// One image's status, waiting until it is finished (for the named models, or all) or the time is up.
    pub async fn wait_for(
        &self,
        user: &User,
        md5: ContentMd5,
        models: Option<&[String]>,
        wait: Duration,
    ) -> Result<ImageStatus> {
        let until = Instant::now() + wait;
        let look = async || {
            let found = match (self.find(user, &[md5], true).await, models) {
                (Err(error), Some(models)) if is_too_large(&error) => self.find_named(user, md5, models).await,
                (found, _) => found,
            };
            found?.remove(&md5).ok_or_else(|| Fault::not_found("image").into())
        };
        if wait.is_zero() {
            return look().await;
        }
        let watch = self.ctx.waiters.images.join(md5);
        let mut news = watch.enrol();
        let mut stopping = self.ctx.stopping.clone();
        // Each looks with its own rights when it comes and when its time is up, and with the others in between.
        let mut status: Arc<ImageStatus> = Arc::new(look().await?);
        while !overall(&status, models).done() && Instant::now() < until {
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN)) => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
            status = match watch.look(look()).await {
                // Another may see less than this one.
                Err(Error::Fault(_)) => Arc::new(look().await?),
                seen if Instant::now() < until => seen?,
                _ => Arc::new(look().await?),
            };
        }
        Ok(Arc::unwrap_or_clone(status))
    }
}

/// The cases of which one must hold an image for the user to see it, in order: who sees all needs none.
fn cases_of(user: &User) -> Arc<[Uuid]> {
    user.scope().unwrap_or_default().into()
}

async fn ready_together(ctx: Arc<Ctx>, asked: Vec<ReadyLookup>) -> Result<Answers<Option<ReadyAnswer>>> {
    Ok(ctx.index.read_answers(&asked).await.into())
}

async fn load_together(ctx: Arc<Ctx>, loads: Vec<Lookup>) -> Result<Answers<Visible>> {
    let images: BTreeSet<ContentMd5> = loads.iter().flat_map(|load| load.images.iter().copied()).collect();
    let images: Vec<ContentMd5> = images.into_iter().collect();
    let asked: Vec<AskedBy<'_>> =
        loads.iter().map(|load| AskedBy { images: &load.images, cases: &load.cases }).collect();
    let results = loads.iter().any(|load| load.results);
    // Before the read. Without the results it would be half of a status.
    let refill = ctx.index.begin_refill(if results { &images } else { &[] }).await;
    let loaded = ctx.hot.run(async |db| status::load(db, &images, &asked, results).await).await?;
    // Of several calls each is tried again by itself.
    let loaded = loaded.ok_or_else(too_large)?;
    let loaded: HashMap<ContentMd5, Arc<VisibleStatus>> =
        loaded.into_iter().map(|(md5, seen)| (md5, Arc::new(seen))).collect();
    let of = |load: &Lookup| load.images.iter().filter_map(|md5| Some((*md5, Arc::clone(loaded.get(md5)?)))).collect();
    let each = loads.iter().map(of).collect();
    let fill = async move {
        let fills: Vec<Fill<'_>> = loaded.iter().map(|(md5, seen)| fill(*md5, seen)).collect();
        ctx.index.end_refill(&refill, &fills).await;
    };
    Ok(Answers { each, then: Some(Box::pin(fill)) })
}

fn too_large() -> Fault {
    Fault::new(Code::AnswerTooLarge, format!("The results have more than {RESULTS_BYTES_MAX} bytes together."))
}

/// Whether less would have been answered.
pub fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Fault(fault) if fault.code == Code::AnswerTooLarge)
}

fn fill(md5: ContentMd5, seen: &VisibleStatus) -> Fill<'_> {
    Fill { md5, status: &seen.status, cases: &seen.cases, finished: overall(&seen.status, None).done() }
}

/// The status over the newest job per model, of the named models or of all.
pub fn overall(status: &ImageStatus, models: Option<&[String]>) -> Overall {
    let named = |model: &String| models.is_none_or(|models| models.contains(model));
    Overall::of(status.jobs.iter().filter(|(model, _)| named(model)).map(|(_, job)| job.state))
}

/// Refuses names that no model has; while the models are not known, none is refused.
pub fn check_models(gates: Option<&Gates>, status: &ImageStatus, models: &[String]) -> Result<()> {
    let known = |name: &String| {
        status.jobs.contains_key(name)
            || (Name::parse(name).is_ok() && gates.is_none_or(|gates| gates.contains_key(name)))
    };
    match models.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("No model is named {:?}.", shorten(name));
            Err(Fault::new(Code::UnknownModel, detail).on("/models").into())
        }
    }
}
