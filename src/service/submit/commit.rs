//! The transaction of submissions: several requests that come at the same time go in one.

use super::answer::{JobsByImage, ParamsIds, answer_jobs};
use super::ask::AnsweringJob;
use super::order::{Committed, Fate, Found, Images, Order, Upload};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::service::batch::Answers;
use crate::service::{Ctx, Error, Result, announce, cases};
use crate::store::db::WorkError;
use crate::store::images::{self, KnownImage, NamedImage, Namer, NewImage, StoredImage, Title};
use crate::store::submissions::{self, Opened, Opening};
use crate::store::work::Moved;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// Why a transaction of orders is not committed.
enum Undone {
    /// Some orders, by their places, are not to be carried out: the others are carried out without them.
    Refused(BTreeMap<usize, Refused>),
    Failed(Error),
}

/// Why an order leaves nothing behind.
enum Refused {
    /// For its images; what became of them.
    Images(Vec<Found>),
    Fault(Fault),
}

impl Refused {
    fn answer(self) -> OrderAnswer {
        match self {
            Self::Images(images) => Ok(Committed { submission: None, images: fates(images, &HashMap::new()) }),
            Self::Fault(fault) => Err(fault),
        }
    }
}

impl WorkError for Undone {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_unavailable())
    }
}

impl<E: Into<Error>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What each order of a batch is answered with; one bad order holds nobody else up.
pub(super) type OrderAnswer = std::result::Result<Committed, Fault>;

pub(super) async fn commit_together(ctx: Arc<Ctx>, mut orders: Vec<Order>) -> Result<Answers<OrderAnswer>> {
    ctx.mirror.mark(&images_of(&orders)).await?;
    let params = orders.iter().flat_map(|order| &order.plan.models);
    let params = params.map(|model| (model.params.hash, model.params.text())).collect();
    let params = ctx.catalog.params_ids(&params).await?;
    let mut places: Vec<usize> = (0..orders.len()).collect();
    let mut each: Vec<Option<OrderAnswer>> = orders.iter().map(|_| None).collect();
    let mut careful = false;
    let mut then = None;
    while !orders.is_empty() {
        match write(&ctx, &orders, &params, careful).await {
            Ok(Written { ids, found, jobs, moved }) => {
                ctx.catalog.learn(learnt(&orders, &found));
                for (place, ((id, images), jobs)) in places.iter().zip(ids.iter().zip(found).zip(&jobs)) {
                    each[*place] = Some(Ok(Committed { submission: Some(*id), images: fates(images, jobs) }));
                }
                then = announce::soon(&ctx, moved);
                break;
            }
            Err(Undone::Refused(refused)) => {
                // From the last one on, so that the places of the others stay.
                for (at, refused) in refused.into_iter().rev() {
                    each[places.remove(at)] = Some(refused.answer());
                    orders.remove(at);
                }
            }
            Err(Undone::Failed(error)) if error.is_crossed() && !careful => careful = true,
            Err(Undone::Failed(error)) => return Err(error),
        }
    }
    Ok(Answers { each: each.into_iter().flatten().collect(), then })
}

/// What a transaction wrote.
struct Written {
    /// The submissions, in the order of the orders.
    ids: Vec<Uuid>,
    found: Vec<Vec<Found>>,
    jobs: Vec<JobsByImage>,
    moved: Vec<Moved>,
}

/// One transaction; `careful` after another one crossed it.
async fn write(ctx: &Ctx, orders: &[Order], params: &ParamsIds, careful: bool) -> std::result::Result<Written, Undone> {
    ctx.hot
        .write(async |tx| {
            let ids = open(tx, orders).await?;
            let found = find_images(tx, orders, &ids).await?;
            if orders.iter().zip(&found).any(|(order, images)| is_refused(order, images)) {
                let places = orders.iter().zip(found).enumerate();
                let refused = places.filter(|(_, (order, images))| is_refused(order, images));
                return Err(Undone::Refused(
                    refused.map(|(place, (_, images))| (place, Refused::Images(images))).collect(),
                ));
            }
            let (jobs, moved) = answer_jobs(tx, orders, &ids, &found, params, careful).await?;
            Ok(Written { ids, found, jobs, moved })
        })
        .await
}

/// The images of these orders, each once.
fn images_of(orders: &[Order]) -> Vec<ContentMd5> {
    let mut images: Vec<ContentMd5> = Vec::new();
    for order in orders {
        match &*order.images {
            Images::Stored { md5s, .. } => images.extend(md5s),
            Images::Uploaded(uploads) => images.extend(uploads.iter().map(|upload| upload.row.md5)),
        }
    }
    images.sort_unstable();
    images.dedup();
    images
}

/// Opens the submissions, or locks those that are open, so that requests of one submission take turns.
async fn open(db: &mut sqlx::PgConnection, orders: &[Order]) -> std::result::Result<Vec<Uuid>, Undone> {
    let opening = |order: &Order| Opening { id: order.submission, account: order.account, case: order.case };
    let opened = submissions::open(db, &orders.iter().map(opening).collect::<Vec<_>>()).await?;
    let mut refused = BTreeMap::new();
    let mut ids = Vec::with_capacity(orders.len());
    for (place, (order, opened)) in orders.iter().zip(opened).enumerate() {
        let fault = match opened {
            Some(Opened { id, account, case }) if account == order.account && case == order.case => {
                ids.push(id);
                continue;
            }
            Some(Opened { id, .. }) => {
                let detail = format!("The submission {id} belongs to another user, or to another case.");
                Fault::new(Code::SubmissionConflict, detail)
            }
            None => cases::refusal(db, order.case).await?.on("/case"),
        };
        refused.insert(place, Refused::Fault(fault));
    }
    if refused.is_empty() { Ok(ids) } else { Err(Undone::Refused(refused)) }
}

async fn find_images(db: &mut sqlx::PgConnection, orders: &[Order], submissions: &[Uuid]) -> Result<Vec<Vec<Found>>> {
    let mut wanted: Vec<(usize, ContentMd5)> = Vec::new();
    let mut namers: Vec<Namer<'_>> = Vec::new();
    let mut rows: BTreeMap<ContentMd5, NewImage> = BTreeMap::new();
    for (place, order) in orders.iter().enumerate() {
        match &*order.images {
            Images::Stored { md5s, .. } => wanted.extend(md5s.iter().map(|md5| (place, *md5))),
            Images::Uploaded(uploads) => {
                rows.extend(uploads.iter().map(|upload| (upload.row.md5, upload.row.clone())));
            }
        }
        namers.push(Namer { cases: order.images.visible_to(), into: order.case });
    }
    wanted.sort();
    wanted.dedup();
    let named = images::lock_visible(db, &wanted, &namers).await?;
    let known: HashMap<(usize, ContentMd5), NamedImage> =
        named.into_iter().map(|named| ((named.place.0, named.image.known.md5), named)).collect();
    let of = |place: usize, md5: &ContentMd5| match known.get(&(place, *md5)) {
        Some(named) => Found::Known { image: named.image.clone(), held: named.held },
        None => Found::Missing,
    };
    let rows: Vec<NewImage> = rows.into_values().collect();
    let stored: HashMap<ContentMd5, StoredImage> =
        images::put(db, &rows).await?.into_iter().map(|image| (image.md5, image)).collect();
    let found = |(place, order): (usize, &Order)| match &*order.images {
        Images::Stored { md5s, .. } => md5s.iter().map(|md5| of(place, md5)).collect(),
        Images::Uploaded(uploads) => {
            uploads.iter().map(|upload| as_stored(upload, stored.get(&upload.row.md5))).collect()
        }
    };
    let mut found: Vec<Vec<Found>> = orders.iter().enumerate().map(found).collect();
    let titled = give_titles(db, orders, submissions, &found).await?;
    for (order, found) in orders.iter().zip(&mut found) {
        for image in found {
            if let Found::Stored(image) = image {
                image.titled = titled.contains(&(order.case, image.id));
            }
        }
    }
    Ok(found)
}

fn as_stored(upload: &Upload, stored: Option<&StoredImage>) -> Found {
    match stored {
        Some(image) if image.sha256 == upload.row.sha256 => Found::Stored(image.clone()),
        Some(image) => Found::Collided(image.id),
        None => Found::Missing,
    }
}

/// Titles for the cases: to what was uploaded, and to what was only named and they do not hold yet.
async fn give_titles(
    db: &mut sqlx::PgConnection,
    orders: &[Order],
    submissions: &[Uuid],
    found: &[Vec<Found>],
) -> Result<HashSet<(Uuid, i64)>> {
    let mut titles = Vec::new();
    for ((order, submission), found) in orders.iter().zip(submissions).zip(found) {
        let (case, account) = (order.case, order.account);
        let title = |image_id, name| Title { case, image_id, submission: *submission, account, name };
        for (place, found) in found.iter().enumerate() {
            match (found, &*order.images) {
                (Found::Stored(image), Images::Uploaded(uploads)) => titles.push(title(image.id, &uploads[place].name)),
                (Found::Known { image, held: false }, _) => {
                    titles.push(title(image.known.id, image.name.as_deref().unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
    if titles.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(images::give_titles(db, &titles).await?.into_iter().collect())
}

/// What the work will ask of these images.
fn learnt(orders: &[Order], found: &[Vec<Found>]) -> Vec<KnownImage> {
    let mut known = Vec::new();
    for (order, found) in orders.iter().zip(found) {
        for (place, image) in found.iter().enumerate() {
            match (image, &*order.images) {
                (Found::Known { image, .. }, _) => known.push(image.known.clone()),
                (Found::Stored(stored), Images::Uploaded(uploads)) => known.push(uploads[place].row.known(stored.id)),
                _ => {}
            }
        }
    }
    known
}

/// Whether nothing of an order is good, or not all where all must be.
fn is_refused(order: &Order, found: &[Found]) -> bool {
    let good = found.iter().filter(|image| image.id().is_some()).count();
    good == 0 || (order.strict && (order.refused > 0 || good < found.len()))
}

fn fates(found: Vec<Found>, jobs: &HashMap<i64, Vec<AnsweringJob>>) -> Vec<Fate> {
    let of = |image: i64| jobs.get(&image).cloned().unwrap_or_default();
    let fate = |image| match image {
        Found::Known { image, .. } => {
            let jobs = of(image.known.id);
            Fate::Known(image, jobs)
        }
        Found::Stored(image) => Fate::Stored { blob: image.blob, titled: image.titled, jobs: of(image.id) },
        Found::Missing => Fate::Missing,
        Found::Collided(image) => Fate::Collided(image),
    };
    found.into_iter().map(fate).collect()
}
