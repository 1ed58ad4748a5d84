//! Submissions: names and params first, then each file alone, then bytes, then one transaction, then the word.

mod answer;
mod ask;
mod bytes;
mod commit;
mod judge;
mod order;
mod plan;

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

pub(super) use self::answer::{attached, new_job};
use self::bytes::{drop_blobs, keep, uploads};
use self::commit::{OrderAnswer, commit_together};
use self::judge::{GoodFile, collision, judge, nothing_or_strict, refusal, refuse_same_md5, warnings};
use self::order::{Committed, Fate, Images, Order};
use self::plan::{Plan, plan};
use super::accounts::User;
use super::batch::{Batcher, Capacity};
use super::queues::Queues;
use super::{Ctx, Error, Result};
use crate::domain::case::CaseRole;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::metrics;
use crate::store::images;

pub use self::ask::{AnsweringJob, Ask, File, Receipt, RefusedImage, TakenImage, Workload};

/// The lines of submissions: large by themselves.
const LINE: Capacity = Capacity { at_once: 2, ..Capacity::USUAL };

/// The submissions of all users.
pub struct Submit {
    ctx: Arc<Ctx>,
    queues: Arc<Queues>,
    /// Of images that are stored. Apart, because one kind locks images that are there and the other makes them.
    reruns: Arc<Batcher<Order, OrderAnswer>>,
    uploads: Arc<Batcher<Order, OrderAnswer>>,
}

impl Submit {
    /// The connections that its lines use at once.
    pub const CONNECTIONS: u32 = 2 * LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>, queues: &Arc<Queues>) -> Self {
        let line = || {
            let own = Arc::clone(ctx);
            Batcher::new(LINE, move |orders| commit_together(Arc::clone(&own), orders), |_, _| {})
        };
        Self { ctx: Arc::clone(ctx), queues: Arc::clone(queues), reruns: line(), uploads: line() }
    }

    /// Submits uploaded files.
    pub async fn upload(&self, user: &User, ask: &Ask, files: Vec<File>) -> Result<Receipt> {
        if files.is_empty() {
            return Err(Fault::new(Code::NoImage, "No file was sent.").on("/images").into());
        }
        let case = case_of(user, ask)?;
        let plan = Arc::new(plan(&self.ctx, &self.queues, user, ask, files.len()).await?);
        let (mut good, mut rejected) = judge(&self.ctx, files).await?;
        refuse_same_md5(&mut good, &mut rejected);
        nothing_or_strict(ask, good.len(), &rejected)?;
        let blobs = keep(&self.ctx, &good).await?;
        let images = Images::Uploaded(uploads(&good, &blobs));
        let order = order(user, ask, case, &plan, rejected.len(), images);
        // Where the COMMIT is unknown it may yet have named the blobs: those are the collector's.
        let committed =
            self.commit(order).await.inspect_err(|error| tracing::debug!(%error, "an upload was not committed"));
        let committed = match committed {
            Err(Error::Fault(fault)) => {
                drop_blobs(&self.ctx, &blobs.into_values().collect::<Vec<_>>()).await;
                return Err(fault.into());
            }
            committed => committed?,
        };
        let mut images = Vec::new();
        let mut winners = HashSet::new();
        for (f, fate) in good.into_iter().zip(committed.images) {
            match fate {
                Fate::Stored { blob, titled, jobs } => {
                    let own = blobs.get(&f.staged.md5).is_some_and(|(_, own)| *own == blob);
                    winners.extend(own.then_some(blob));
                    images.push(taken(f, !titled, jobs));
                }
                Fate::Collided(image) => {
                    tell_collision(&self.ctx, user, image).await;
                    rejected.push(RefusedImage { index: f.index, name: f.name, fault: collision(f.staged.md5) });
                }
                Fate::Known(..) | Fate::Missing => {
                    return Err(Error::Internal("an upload was taken for stored".into()));
                }
            }
        }
        let losers = blobs.into_values().filter(|(_, blob)| !winners.contains(blob)).collect::<Vec<_>>();
        drop_blobs(&self.ctx, &losers).await;
        rejected.sort_by_key(|r| r.index);
        let Some(submission) = committed.submission else {
            return Err(refusal(images.len(), &rejected).into());
        };
        metrics::uploaded(images.len(), images.iter().map(|i| i.bytes).sum());
        Ok(Receipt { submission, case, images, rejected, models: plan.loads.clone() })
    }

    /// Runs models on images that are stored and visible to the user; the case holds them from then on.
    pub async fn rerun(&self, user: &User, ask: &Ask, hashes: &[ContentMd5]) -> Result<Receipt> {
        if hashes.is_empty() {
            return Err(Fault::new(Code::NoImage, "No image was named.").on("/images").into());
        }
        let case = case_of(user, ask)?;
        let plan = Arc::new(plan(&self.ctx, &self.queues, user, ask, hashes.len()).await?);
        let stored = Images::Stored { visible_to: user.scope(), md5s: hashes.to_vec() };
        let committed = self.commit(order(user, ask, case, &plan, 0, stored)).await?;
        let (mut images, mut rejected) = (Vec::new(), Vec::new());
        for ((index, md5), fate) in hashes.iter().enumerate().zip(committed.images) {
            match fate {
                Fate::Known(record, jobs) => images.push(TakenImage {
                    index,
                    name: record.name,
                    md5: record.known.md5,
                    sha256: record.known.sha256,
                    bytes: u64::try_from(record.known.bytes).unwrap_or_default(),
                    new: false,
                    warnings: record.warnings,
                    jobs,
                }),
                _ => rejected.push(RefusedImage { index, name: md5.to_string(), fault: Fault::not_found("image") }),
            }
        }
        match committed.submission {
            Some(submission) => Ok(Receipt { submission, case, images, rejected, models: plan.loads.clone() }),
            None => Err(refusal(images.len(), &rejected).into()),
        }
    }

    /// Commits an order, together with others that come at the same time; when this answers, it is on stable storage and
    /// announced.
    async fn commit(&self, order: Order) -> Result<Committed> {
        let line = match &*order.images {
            Images::Stored { .. } => &self.reruns,
            Images::Uploaded(_) => &self.uploads,
        };
        let (weight, keys) = (order.weight(), order.keys());
        Ok(line.call_apart(order, weight, keys).await??)
    }
}

/// Where the images of a request go.
fn case_of(user: &User, ask: &Ask) -> std::result::Result<Uuid, Fault> {
    let case = ask.case.unwrap_or(user.own_case);
    user.check(case, CaseRole::Editor).map_err(|fault| fault.on("/case"))?;
    Ok(case)
}

fn order(user: &User, ask: &Ask, case: Uuid, plan: &Arc<Plan>, refused: usize, images: Images) -> Order {
    Order {
        account: user.account.id,
        case,
        submission: ask.submission,
        rerun: ask.rerun,
        strict: ask.strict,
        refused,
        plan: Arc::clone(plan),
        images: Arc::new(images),
    }
}

fn taken(f: GoodFile, new: bool, jobs: Vec<AnsweringJob>) -> TakenImage {
    TakenImage {
        index: f.index,
        md5: f.staged.md5,
        sha256: f.staged.sha256.to_vec(),
        bytes: f.staged.bytes,
        new,
        warnings: warnings(&f.structure),
        jobs,
        name: Some(f.name),
    }
}

/// Audited apart from the request's transaction, which may have been refused because of it.
async fn tell_collision(ctx: &Ctx, user: &User, image_id: i64) {
    let told = ctx.db.run(async |db| images::tell_collision(db, user.account.id, image_id).await).await;
    if let Err(error) = told {
        tracing::error!(%error, image_id, "an MD5 collision could not be written to the audit");
    }
}
