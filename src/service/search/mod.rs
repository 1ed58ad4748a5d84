//! Searches: which images fit a filter, a page at a time, and what there is among them.
//!
//! What a page costs is bounded, not what it holds: where as many titles were looked at as one request may, the page is short and its
//! cursor goes on from there.

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
            match ranked(db, &plan).await? {
                Some(ranked) => nearest(db, ranked, after, limit).await,
                None => newest(db, &plan, after, limit).await,
            }
        })
        .await
}

async fn newest(
    db: &mut PgConnection,
    plan: &SearchPlan,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<SearchPage> {
    let (found, next) = walked(db, plan, after, limit).await?;
    let hits = search::show(db, &found).await?.into_iter().map(|hit| (hit, None)).collect();
    Ok(SearchPage { hits, next })
}

/// The next images that fit by newer titles first, and where to go on.
async fn walked(
    db: &mut PgConnection,
    plan: &SearchPlan,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<(Vec<Fitting>, Option<SearchCursor>)> {
    let before = after.map_or(TitlePlace::FIRST, |after| after.place);
    let until = after.map(|after| after.until);
    let found = gather(db, plan, before, until.unwrap_or(DateTime::<Utc>::MAX_UTC), limit).await?;
    let Gathered { found, next, newest } = found;
    // What has come since the first page is not looked at by the next ones.
    let until = until.or(newest).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok((found, next.map(|place| SearchCursor { until, place, distance: None })))
}

/// Finds out whether a filter means something in the case that is asked about, whoever asks.
pub async fn check(ctx: &Ctx, ask: &SearchAsk) -> Result<()> {
    ctx.search.run(async |db| make(db, None, ask).await.map(drop)).await
}

/// The numbers of the next images that fit, in the order in which [`find`] tells them, whoever asks; all at once where the nearest come
/// first.
pub async fn numbers(
    ctx: &Ctx,
    ask: &SearchAsk,
    after: Option<SearchCursor>,
) -> Result<(Vec<i64>, Option<SearchCursor>)> {
    ctx.search
        .run(async |db| {
            let plan = make(db, None, ask).await?;
            let (found, next) = match ranked(db, &plan).await? {
                Some(ranked) => (ranked.into_iter().map(|ranked| ranked.fitting).collect(), None),
                None => walked(db, &plan, after, COUNTED_MAX).await?,
            };
            Ok((found.into_iter().map(|fitting| fitting.image_id).collect(), next))
        })
        .await
}

async fn nearest(
    db: &mut PgConnection,
    ranked: Vec<Ranked>,
    after: Option<SearchCursor>,
    limit: usize,
) -> Result<SearchPage> {
    let is_next = |image: &Ranked| {
        after.is_none_or(|after| image.is_behind(after.distance.unwrap_or(f64::NEG_INFINITY), after.place))
    };
    let mut rest = ranked.into_iter().filter(is_next).peekable();
    let page: Vec<Ranked> = rest.by_ref().take(limit).collect();
    let last = page.last().filter(|_| rest.peek().is_some());
    let next = last.map(|last| SearchCursor {
        until: DateTime::<Utc>::MAX_UTC,
        place: last.fitting.place(),
        distance: Some(last.distance),
    });
    let (distances, found): (Vec<f64>, Vec<Fitting>) = page.into_iter().map(|r| (r.distance, r.fitting)).unzip();
    let shown = search::show(db, &found).await?;
    let distance = |hit: &ShownHit| usize::try_from(hit.place - 1).ok().and_then(|place| distances.get(place).copied());
    let hits = shown.into_iter().map(|hit| (distance(&hit), hit)).map(|(distance, hit)| (hit, distance)).collect();
    Ok(SearchPage { hits, next })
}

/// Counts the images that fit, and of those that were counted the labels, models and tags.
pub async fn count(ctx: &Ctx, user: &User, ask: &SearchAsk) -> Result<SearchCounts> {
    let (images, at_least, cases) = ctx
        .search
        .run(async |db| {
            let plan = make(db, user.scope(), ask).await?;
            let (images, more): (Vec<i64>, bool) = match ranked(db, &plan).await? {
                Some(ranked) => (ranked.into_iter().map(|r| r.fitting.image_id).take(COUNTED_MAX).collect(), false),
                None => {
                    let first = (TitlePlace::FIRST, DateTime::<Utc>::MAX_UTC);
                    let Gathered { found, next, .. } = gather(db, &plan, first.0, first.1, COUNTED_MAX).await?;
                    (found.into_iter().map(|fitting| fitting.image_id).collect(), next.is_some())
                }
            };
            Ok::<_, super::Error>((images, more, plan.sought.cases))
        })
        .await?;
    let counted = ctx.search.run(async |db| search::counts(db, &images, cases.as_deref(), COUNTS_MAX).await).await?;
    let [labels, models, tags] = counted;
    Ok(SearchCounts { images: images.len(), at_least, labels, models, tags })
}
