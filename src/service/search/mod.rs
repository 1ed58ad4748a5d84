//! Searches: which images fit a filter, a page at a time, and what there is among them.
//!
//! What a page costs is bounded, not what it holds: where as many titles were looked at as one request may, the page is short and its
//! cursor goes on from there.

pub mod changes;
mod gather;
mod plan;
mod rank;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use self::gather::{Gathered, gather};
pub use self::plan::SearchAsk;
use self::plan::{SearchPlan, make};
use self::rank::{Ranked, ranked};
use super::accounts::User;
use super::{Ctx, Result};
use crate::store::search::{self, Fitting, ImageCounts, ShownHit, TitlePlace};

/// The most images that are counted: more are "at least" so many.
pub const COUNTED_MAX: usize = 5_000;
/// The most labels, models and tags that are counted: a bar of filters shows fewer.
const COUNTS_MAX: i64 = 100;

/// Where a page of a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchCursor {
    /// The newest title when the first page was asked for: later ones move no image.
    until: DateTime<Utc>,
    place: TitlePlace,
    /// Where the nearest come first: how near the last was.
    distance: Option<f64>,
}

/// A page of what was found.
#[derive(Debug)]
pub struct SearchPage {
    /// Each with how far it is from the image that it is compared with, if it is.
    pub hits: Vec<(ShownHit, Option<f64>)>,
    /// Nothing at the end.
    pub next: Option<SearchCursor>,
}

/// What there is among the images that fit.
#[derive(Debug)]
pub struct SearchCounts {
    pub images: usize,
    /// There may be more images.
    pub at_least: bool,
    pub labels: ImageCounts,
    pub models: ImageCounts,
    pub tags: ImageCounts,
}

/// The next images that fit, newest title first, or nearest first where the filter compares.
pub async fn find(
    ctx: &Ctx,
    user: &User,
    ask: &SearchAsk,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<SearchPage> {
    ctx.search
        .run(async |db| {
            let plan = make(db, user.scope(), ask).await?;
            let found = next_images(db, &plan, after, limit).await?;
            let shown = search::show(db, &found.fitting()).await?;
            let hits =
                shown.into_iter().map(|hit| (found.distance_of(&hit), hit)).map(|(distance, hit)| (hit, distance));
            Ok(SearchPage { hits: hits.collect(), next: found.next })
        })
        .await
}

/// The next images that fit, each with how far it is from the image that it is compared with, if it is.
struct FoundImages {
    images: Vec<(Fitting, Option<f64>)>,
    until: DateTime<Utc>,
    /// Nothing at the end.
    next: Option<SearchCursor>,
}

impl FoundImages {
    fn fitting(&self) -> Vec<Fitting> {
        self.images.iter().map(|(fitting, _)| fitting.clone()).collect()
    }

    fn distance_of(&self, hit: &ShownHit) -> Option<f64> {
        usize::try_from(hit.place - 1).ok().and_then(|place| self.images.get(place)?.1)
    }

    /// Keeps the first of them, and goes on behind these.
    fn cut(&mut self, first: usize) {
        if first < self.images.len() {
            self.images.truncate(first);
            let last = self.images.last();
            self.next = last.map(|(last, distance)| SearchCursor {
                until: self.until,
                place: last.place(),
                distance: *distance,
            });
        }
    }
}

async fn next_images(
    db: &mut PgConnection,
    plan: &SearchPlan,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<FoundImages> {
    if let Some(ranked) = ranked(db, plan).await? {
        let is_next = |image: &Ranked| {
            after.is_none_or(|after| image.is_behind(after.distance.unwrap_or(f64::NEG_INFINITY), after.place))
        };
        let next = ranked.into_iter().filter(is_next).map(|image| (image.fitting, Some(image.distance)));
        let mut found = FoundImages { images: next.collect(), until: DateTime::<Utc>::MAX_UTC, next: None };
        found.cut(limit);
        return Ok(found);
    }
    let before = after.map_or(TitlePlace::FIRST, |after| after.place);
    let until = after.map(|after| after.until);
    let Gathered { found, next, newest } =
        gather(db, plan, before, until.unwrap_or(DateTime::<Utc>::MAX_UTC), limit).await?;
    // What has come since the first page is not looked at by the next ones.
    let until = until.or(newest).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let next = next.map(|place| SearchCursor { until, place, distance: None });
    Ok(FoundImages { images: found.into_iter().map(|fitting| (fitting, None)).collect(), until, next })
}

/// Finds out whether a filter means something in the case that is asked about, whoever asks.
pub async fn check(ctx: &Ctx, ask: &SearchAsk) -> Result<()> {
    ctx.search.run(async |db| make(db, None, ask).await.map(drop)).await
}

/// The numbers of the next images that fit, in the order in which [`find`] tells them, whoever asks.
pub async fn numbers(
    ctx: &Ctx,
    ask: &SearchAsk,
    after: Option<SearchCursor>,
) -> Result<(Vec<i64>, Option<SearchCursor>)> {
    ctx.search
        .run(async |db| {
            let plan = make(db, None, ask).await?;
            let found = next_images(db, &plan, after, COUNTED_MAX).await?;
            Ok((found.images.into_iter().map(|(fitting, _)| fitting.image_id).collect(), found.next))
        })
        .await
}

/// Counts the images that fit, and of those that were counted the labels, models and tags.
pub async fn count(ctx: &Ctx, user: &User, ask: &SearchAsk) -> Result<SearchCounts> {
    let (images, at_least, cases) = ctx
        .search
        .run(async |db| {
            let plan = make(db, user.scope(), ask).await?;
            let found = next_images(db, &plan, None, COUNTED_MAX).await?;
            let images: Vec<i64> = found.images.iter().map(|(fitting, _)| fitting.image_id).collect();
            Ok::<_, super::Error>((images, found.next.is_some(), plan.sought.cases))
        })
        .await?;
    let counted = ctx.search.run(async |db| search::counts(db, &images, cases.as_deref(), COUNTS_MAX).await).await?;
    let [labels, models, tags] = counted;
    Ok(SearchCounts { images: images.len(), at_least, labels, models, tags })
}
