//! The images that fit, newest title first: by a walk along the titles while it finds enough, else by what an index names.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::plan::SearchPlan;
use crate::service::Result;
use crate::store::is_timed_out;
use crate::store::search::{self, Fitting, Stretch, TitlePlace};

/// The fewest titles that are looked at first, and the most at once: at first a page and some more, where all may fit.
const BITE_MIN: i64 = 100;
const BITE_FIRST_MAX: i64 = 625;
const BITE_MAX: i64 = 4_000;
/// The most entries of indexes that one bite reads: as many of each case as it is long.
const ENTRIES_MAX: i64 = 200_000;
/// The most titles that one search looks at, and for how long it begins another bite. A page that is not full then says where to go on.
const LOOKED_MAX: i64 = 20_000;
const TIME_MAX: Duration = Duration::from_millis(1_500);
/// The most rows that an index may name for it to lead: each image is looked at for every page.
const LED_MAX: i64 = 20_000;
/// So few are led by without looking for fewer.
const LED_FEW: usize = 1_000;
/// How many indexes are asked at most, and until when another is: what they name is still to be looked at within the time of a call.
const LEADS_MAX: usize = 6;
const LEADS_TIME_MAX: Duration = Duration::from_millis(700);
/// While the walk is to find a page within so many titles, it goes on.
const WALK_WORTH: usize = 4_000;

/// What was found.
pub(super) struct Gathered {
    pub(super) found: Vec<Fitting>,
    /// Where to go on; nothing at the end.
    pub(super) next: Option<TitlePlace>,
    /// When the first title was given of those that were looked at.
    pub(super) newest: Option<DateTime<Utc>>,
}

/// Finds at most `most` images that fit by titles before a place, none of which was given after `until`.
pub(super) async fn gather(
    db: &mut PgConnection,
    plan: &SearchPlan,
    before: TitlePlace,
    until: DateTime<Utc>,
    most: usize,
) -> Result<Gathered> {
    let began = Instant::now();
    let mut walk =
        Walk { plan, until, most, place: before.min(plan.before), found: Vec::new(), newest: None, looked: 0 };
    let page = i64::try_from(most + most / 4).unwrap_or(BITE_MAX);
    let (mut bite, mut led) = (page.clamp(BITE_MIN, BITE_FIRST_MAX), false);
    let ended = loop {
        match walk.bite(db, bite).await {
            Ok(true) => break true,
            Ok(false) => {}
            // What was looked at before is not lost.
            Err(error) if walk.looked > 0 && is_timed_out(&error) => break false,
            Err(error) => return Err(error.into()),
        }
        if walk.is_full() {
            break false;
        }
        if !led && walk.is_slow() {
            led = true;
            match walk.follow(db, began).await {
                Ok(true) => break true,
                Ok(false) => {}
                Err(error) if is_timed_out(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if walk.looked >= LOOKED_MAX || began.elapsed() > TIME_MAX {
            break false;
        }
        bite = (bite * 2).min(BITE_MAX);
    };
    let next = match (walk.is_full(), ended) {
        (true, _) => walk.found.last().map(Fitting::place),
        (false, true) => None,
        (false, false) => Some(walk.place),
    };
    Ok(Gathered { found: walk.found, next, newest: walk.newest })
}

struct Walk<'a> {
    plan: &'a SearchPlan,
    until: DateTime<Utc>,
    most: usize,
    /// How far it went.
    place: TitlePlace,
    found: Vec<Fitting>,
    newest: Option<DateTime<Utc>>,
    looked: i64,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// Whether it would look at many titles more for a page, if it went on as it did.
    fn is_slow(&self) -> bool {
        let looked = usize::try_from(self.looked).unwrap_or_default();
        looked.saturating_mul(self.most) > WALK_WORTH.saturating_mul(self.found.len())
    }

    /// Looks at the next titles, at most so many; answers whether there are no more.
    async fn bite(&mut self, db: &mut PgConnection, bite: i64) -> sqlx::Result<bool> {
        let cases = self.plan.sought.cases.as_deref();
        let in_turn = cases.map_or(1, |cases| cases.len().max(1) as i64);
        let bite = bite.min(ENTRIES_MAX / in_turn).max(1);
        let titles = search::walk(db, cases, self.place, self.plan.since, bite).await?;
        let (Some(first), Some(last)) = (titles.first(), titles.last()) else { return Ok(true) };
        self.newest.get_or_insert(first.at);
        let images: BTreeSet<i64> = titles.iter().map(|title| title.image_id).collect();
        let stretch = Stretch { before: self.place, from: *last, until: self.until };
        self.take(db, images, stretch).await?;
        self.place = *last;
        let looked = titles.len() as i64;
        self.looked += looked;
        Ok(looked < bite)
    }

    /// Looks at all images that the index of one condition names, if one names few; answers whether one did.
    async fn follow(&mut self, db: &mut PgConnection, began: Instant) -> sqlx::Result<bool> {
        let mut fewest: Option<BTreeSet<i64>> = None;
        for (asked, lead) in self.plan.leads.iter().take(LEADS_MAX).enumerate() {
            if asked > 0 && began.elapsed() > LEADS_TIME_MAX {
                break;
            }
            let named = match search::lead(db, lead, self.plan.sought.cases.as_deref(), LED_MAX).await {
                Err(error) if is_timed_out(&error) => continue,
                named => named?,
            };
            let images: BTreeSet<i64> = named.iter().copied().collect();
            if (named.len() as i64) < LED_MAX && fewest.as_ref().is_none_or(|fewest| images.len() < fewest.len()) {
                let few = images.len() <= LED_FEW;
                fewest = Some(images);
                if few {
                    break;
                }
            }
        }
        let Some(images) = fewest else { return Ok(false) };
        let stretch = Stretch { before: self.place, from: TitlePlace::LAST, until: self.until };
        self.take(db, images, stretch).await?;
        Ok(true)
    }

    async fn take(&mut self, db: &mut PgConnection, images: BTreeSet<i64>, stretch: Stretch) -> sqlx::Result<()> {
        let images: Vec<i64> = images.into_iter().collect();
        let wanted = (self.most - self.found.len()) as i64;
        self.found.extend(search::fits(db, &self.plan.sought, &images, stretch, wanted).await?);
        Ok(())
    }
}
