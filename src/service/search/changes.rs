//! What changed between two versions of a model: of the images that fit a filter, a page at a time, and in numbers; and of one image
//! between two results.
//!
//! An image is compared if both said something of it with the same params. Like a search it costs what a page does: so many titles
//! are looked at, so many results read, for so long; a short page says where to go on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::plan::{SearchAsk, make};
use super::{FoundImages, SearchCursor, next_images};
use crate::domain::compare::{ChangeKind, Differences, MovedBox, compare};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::name::{nearest, shorten};
use crate::domain::result::KnownItem;
use crate::service::accounts::User;
use crate::service::{Ctx, Error, Result};
use crate::store::images;
use crate::store::is_timed_out;
use crate::store::search::{self, ComparedVersion, ShownHit};

/// The fewest images that are compared for a page, if there are as many: of some kinds of changes few are.
const PAGE_COMPARED_MIN: usize = 200;
/// The most images that are compared to be counted.
pub const COUNT_COMPARED_MAX: usize = 2_000;
/// The most rows of labels that are told: those that changed most.
const LABELS_MAX: usize = 100;
/// How many images are compared at once: so many pairs of results are in memory together.
const COMPARED_AT_ONCE: usize = 10;
/// For how long others are begun.
const TIME_MAX: Duration = Duration::from_millis(1_500);
/// Once so many bytes of items are on a page, it ends; and so many of one image are told.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const IMAGE_BYTES_MAX: usize = 512 * 1024;

/// What is compared.
#[derive(Debug)]
pub struct ChangesAsk {
    pub search: SearchAsk,
    pub model: String,
    pub from: String,
    pub to: String,
    /// Only items that are labelled so.
    pub label: Option<String>,
}

/// An image, and what changed of it.
#[derive(Debug)]
pub struct ChangedImage {
    pub hit: ShownHit,
    pub distance: Option<f64>,
    pub change: ItemsChanged,
}

/// What changed of an image, as its results have it.
#[derive(Debug, Default)]
pub struct ItemsChanged {
    pub gained: Vec<Box<RawValue>>,
    pub lost: Vec<Box<RawValue>>,
    /// From where, to where, and how much of both is shared.
    pub moved: Vec<(Box<RawValue>, Box<RawValue>, f64)>,
    pub same: usize,
    /// There are more items than were compared, or are told.
    pub incomplete: bool,
}

/// A page of images of which something changed.
#[derive(Debug)]
pub struct ChangesPage {
    pub images: Vec<ChangedImage>,
    /// Nothing at the end.
    pub next: Option<SearchCursor>,
}

/// The next images of which something changed of this kind, or anything.
pub async fn find(
    ctx: &Ctx,
    user: &User,
    ask: &ChangesAsk,
    kind: Option<ChangeKind>,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<ChangesPage> {
    let (versions, mut found) = both_know(ctx, user, ask, after, limit.max(PAGE_COMPARED_MIN)).await?;
    let mut bytes = 0;
    let mut changes: Vec<(usize, ItemsChanged)> = Vec::new();
    let compared = compare_some(ctx, ask, &versions, &found, |place, comparison| {
        if changes.len() == limit {
            return false;
        }
        if comparison.is(kind) {
            let (change, size) = ItemsChanged::of(&comparison);
            if bytes + size > PAGE_BYTES && !changes.is_empty() {
                return false;
            }
            bytes += size;
            changes.push((place, change));
        }
        true
    })
    .await?;
    found.cut(compared);
    let fitting: Vec<_> = changes.iter().map(|(place, _)| found.images[*place].0.clone()).collect();
    let shown = ctx.search.run(async |db| search::show(db, &fitting).await).await?;
    let mut of: BTreeMap<i64, (usize, ItemsChanged)> = (1..).zip(changes).collect();
    let image = |hit: ShownHit| {
        let (place, change) = of.remove(&hit.place)?;
        Some(ChangedImage { distance: found.images[place].1, hit, change })
    };
    Ok(ChangesPage { images: shown.into_iter().filter_map(image).collect(), next: found.next })
}

/// What changed of an image from the result of one job to that of another.
pub async fn of_image(ctx: &Ctx, user: &User, md5: ContentMd5, [from, to]: [Uuid; 2]) -> Result<ItemsChanged> {
    let scope = user.scope();
    let results = ctx
        .db
        .run(async |db| {
            let found = images::find(db, md5, scope.as_deref()).await?.ok_or_else(|| Fault::not_found("image"))?;
            Ok::<_, Error>(search::results_of(db, found.image.known.id, &[from, to]).await?)
        })
        .await?;
    let of = |job: Uuid, pointer: &str| {
        results.iter().find(|result| result.job_id == job).ok_or_else(|| {
            let mend = "Look at the image's results again: what was computed anew is of another job. GET /images/{md5} names it with each.";
            Fault::not_found("result of this image").mend(mend).on(pointer)
        })
    };
    let (before, after) = (of(from, "/from")?, of(to, "/to")?);
    if before.queue_id != after.queue_id {
        let detail = "from and to are results of two models: they are two things, not one that changed.";
        let mend = "Name two results of one model, as GET /images/{md5} lists them.";
        return Err(Fault::new(Code::InvalidField, detail).mend(mend).on("/to").into());
    }
    Ok(ItemsChanged::of(&compare(&before.document, &after.document, None)).0)
}

/// What changed in numbers.
#[derive(Debug, Default)]
pub struct ChangeCounts {
    pub compared: usize,
    /// There may be more images to be compared.
    pub at_least: bool,
    /// Images of which something was gained, lost, moved; and of which nothing changed.
    pub gained: usize,
    pub lost: usize,
    pub moved: usize,
    pub same: usize,
    /// Images of which more items were said than were compared.
    pub incomplete: usize,
    /// By type and label, those first that changed most.
    pub labels: Vec<(LabelKey, LabelChanges)>,
}

/// The type of items, and what they are labelled.
pub type LabelKey = (&'static str, Option<String>);

/// How many items of a label were gained, lost, moved, and stayed.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelChanges {
    pub gained: usize,
    pub lost: usize,
    pub moved: usize,
    pub same: usize,
}

/// Counts what changed of the images that fit.
pub async fn count(ctx: &Ctx, user: &User, ask: &ChangesAsk) -> Result<ChangeCounts> {
    let (versions, found) = both_know(ctx, user, ask, None, COUNT_COMPARED_MAX).await?;
    let mut counts = ChangeCounts::default();
    let mut labels: BTreeMap<LabelKey, LabelChanges> = BTreeMap::new();
    let compared = compare_some(ctx, ask, &versions, &found, |_, comparison| {
        counts.compared += 1;
        counts.gained += usize::from(!comparison.gained.is_empty());
        counts.lost += usize::from(!comparison.lost.is_empty());
        counts.moved += usize::from(!comparison.moved.is_empty());
        counts.same += usize::from(comparison.is(Some(ChangeKind::Same)));
        counts.incomplete += usize::from(comparison.cut);
        let mut of = |item: &KnownItem<'_>, add: fn(&mut LabelChanges)| {
            add(labels.entry((item.said.kind, item.said.label.clone())).or_default());
        };
        comparison.gained.iter().for_each(|item| of(item, |changes| changes.gained += 1));
        comparison.lost.iter().for_each(|item| of(item, |changes| changes.lost += 1));
        comparison.moved.iter().for_each(|moved| of(&moved.to, |changes| changes.moved += 1));
        comparison.same.iter().for_each(|item| of(item, |changes| changes.same += 1));
        true
    })
    .await?;
    counts.at_least = compared < found.images.len() || found.next.is_some();
    counts.labels = labels.into_iter().collect();
    let changed = |changes: &LabelChanges| (changes.gained + changes.lost + changes.moved, changes.same);
    counts.labels.sort_by_key(|(_, changes)| Reverse(changed(changes)));
    counts.labels.truncate(LABELS_MAX);
    Ok(counts)
}

/// The versions that are compared, and the next images of which both said something.
async fn both_know(
    ctx: &Ctx,
    user: &User,
    ask: &ChangesAsk,
    after: Option<SearchCursor>,
    most: usize,
) -> Result<([ComparedVersion; 2], FoundImages)> {
    ctx.search
        .run(async |db| {
            let versions = versions(db, ask).await?;
            let mut plan = make(db, user.scope(), &ask.search).await?;
            plan.compare(&versions);
            let found = next_images(db, &plan, after, most).await?;
            Ok((versions, found))
        })
        .await
}

async fn versions(db: &mut PgConnection, ask: &ChangesAsk) -> Result<[ComparedVersion; 2]> {
    let models = search::models(db).await?;
    let Some((_, queue_id)) = models.iter().find(|(name, _)| *name == ask.model) else {
        let fault =
            Fault::new(Code::UnknownModel, format!("No model is named {:?}.", shorten(&ask.model))).on("/model");
        return Err(match nearest(&ask.model, models.iter().map(|(name, _)| name.as_str())) {
            Some(near) => fault.mend(format!("Did you mean {near:?}? GET /models lists them.")).into(),
            None => fault.into(),
        });
    };
    if ask.from == ask.to {
        return Err(Fault::new(Code::InvalidField, "from and to are the same version.").on("/to").into());
    }
    let mut known = search::versions(db, *queue_id, &[&ask.from, &ask.to]).await?;
    let mut take = |name: &str, pointer: &str| {
        let place = known.iter().position(|version| version.name == name);
        place.map(|place| known.swap_remove(place)).ok_or_else(|| {
            let detail = format!("{} has no version {:?}.", ask.model, shorten(name));
            let mend = format!("GET /models/{} lists its versions under `served`.", ask.model);
            Fault::new(Code::InvalidField, detail).mend(mend).on(pointer)
        })
    };
    Ok([take(&ask.from, "/from")?, take(&ask.to, "/to")?])
}

/// Compares images in their order until one is not taken, or the time is over; answers how many were looked at.
async fn compare_some(
    ctx: &Ctx,
    ask: &ChangesAsk,
    versions: &[ComparedVersion; 2],
    found: &FoundImages,
    mut take: impl FnMut(usize, Differences<'_>) -> bool,
) -> Result<usize> {
    let images: Vec<i64> = found.images.iter().map(|(fitting, _)| fitting.image_id).collect();
    ctx.search
        .run(async |db| {
            let (began, mut looked) = (Instant::now(), 0);
            for some in images.chunks(COMPARED_AT_ONCE) {
                if began.elapsed() > TIME_MAX {
                    break;
                }
                let results = match search::results(db, some, versions).await {
                    Err(error) if looked > 0 && is_timed_out(&error) => break,
                    results => results?,
                };
                for result in results {
                    let place = looked + usize::try_from(result.place - 1).unwrap_or_default();
                    if !take(place, compare(&result.before, &result.after, ask.label.as_deref())) {
                        return Ok(place);
                    }
                }
                looked += some.len();
            }
            Ok(looked)
        })
        .await
}

impl ItemsChanged {
    /// What is told of it, and how many bytes that has.
    fn of(comparison: &Differences<'_>) -> (Self, usize) {
        let mut told = Self { same: comparison.same.len(), incomplete: comparison.cut, ..Self::default() };
        let mut bytes = 0;
        let mut has_room = |of: &[&KnownItem<'_>]| {
            let more: usize = of.iter().map(|item| item.json.get().len()).sum();
            let fits = bytes + more <= IMAGE_BYTES_MAX;
            bytes += if fits { more } else { 0 };
            told.incomplete |= !fits;
            fits
        };
        let owned = |item: &KnownItem<'_>| item.json.to_owned();
        let lost: Vec<_> = comparison.lost.iter().filter(|item| has_room(&[item])).map(owned).collect();
        let gained: Vec<_> = comparison.gained.iter().filter(|item| has_room(&[item])).map(owned).collect();
        let moved = comparison.moved.iter().filter(|MovedBox { from, to, .. }| has_room(&[from, to]));
        let moved = moved.map(|MovedBox { from, to, overlap }| (owned(from), owned(to), *overlap)).collect();
        (Self { gained, lost, moved, ..told }, bytes)
    }
}
