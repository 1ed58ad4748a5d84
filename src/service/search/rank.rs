//! The images that fit, nearest to one first: by their perceptual hashes, or by the embeddings that a model gave.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::gather::gather;
use super::plan::SearchPlan;
use crate::domain::filter::{FilterFlaw, FilterTerm, TermAsk};
use crate::domain::image::ContentMd5;
use crate::service::Result;
use crate::store::search::{self, Fitting, Stretch, TitlePlace};

/// The most images that are ranked by their hashes: the nearest.
const SIMILAR_MAX: i64 = 5_000;
/// The most images whose embeddings are compared: the newest that fit else. Each is read from its result.
pub const COMPARED_MAX: usize = 2_000;
/// How many of them are read at once, and for how long more are: the oldest are left out on a busy machine.
const COMPARED_AT_ONCE: usize = 200;
const COMPARED_TIME_MAX: Duration = Duration::from_secs(1);
/// The bits of a part of a hash, of which there are four.
const PART_BITS: u32 = 16;

/// An image that fits, and how far it is.
pub(super) struct Ranked {
    pub(super) fitting: Fitting,
    pub(super) distance: f64,
}

impl Ranked {
    /// Whether it comes behind another; of two that are as near the newer title comes first.
    pub(super) fn is_behind(&self, distance: f64, place: TitlePlace) -> bool {
        self.distance.total_cmp(&distance).then(place.cmp(&self.fitting.place())).is_gt()
    }
}

/// All images that fit and are near, nearest first; nothing if the filter compares with none.
pub(super) async fn ranked(db: &mut PgConnection, plan: &SearchPlan) -> Result<Option<Vec<Ranked>>> {
    let Some(term) = &plan.compared else { return Ok(None) };
    let mut ranked = match term.asks {
        TermAsk::Similar { md5, bits } => similar(db, plan, term, md5, bits).await?,
        TermAsk::Like(md5) => alike(db, plan, term, md5).await?,
        _ => return Ok(None),
    };
    ranked.sort_by(|a, b| {
        a.distance.total_cmp(&b.distance).then(Reverse(a.fitting.place()).cmp(&Reverse(b.fitting.place())))
    });
    Ok(Some(ranked))
}

/// The image that others are compared with, with its hash.
async fn reference(
    db: &mut PgConnection,
    plan: &SearchPlan,
    term: &FilterTerm,
    md5: ContentMd5,
) -> Result<(i64, Option<i64>)> {
    let found = search::reference(db, md5, plan.sought.cases.as_deref()).await?;
    found.ok_or_else(|| refused(term, "there is no such image, or it is not yours to see"))
}

fn refused(term: &FilterTerm, why: &str) -> crate::service::Error {
    FilterFlaw { place: term.place, why: why.to_owned() }.fault("/q").into()
}

async fn similar(
    db: &mut PgConnection,
    plan: &SearchPlan,
    term: &FilterTerm,
    md5: ContentMd5,
    bits: u32,
) -> Result<Vec<Ranked>> {
    let (_, hash) = reference(db, plan, term, md5).await?;
    let hash = hash.ok_or_else(|| refused(term, "the perceptual hash of that image is not known, or not yet"))?;
    let near = search::similar(db, hash, bits.cast_signed(), &parts_near(hash, bits), SIMILAR_MAX).await?;
    let distances: HashMap<i64, f64> = near.into_iter().map(|(image, bits)| (image, f64::from(bits))).collect();
    let images: Vec<i64> = distances.keys().copied().collect();
    let all = Stretch { before: plan.before, from: TitlePlace::LAST, until: DateTime::<Utc>::MAX_UTC };
    let fitting = search::fits(db, &plan.sought, &images, all, SIMILAR_MAX).await?;
    let ranked = |fitting: Fitting| Some(Ranked { distance: *distances.get(&fitting.image_id)?, fitting });
    Ok(fitting.into_iter().filter_map(ranked).collect())
}

/// The values near to each of the four parts of a hash, the lowest first: of two hashes that differ in so many bits one part at least
/// differs in no more than a fourth of them.
fn parts_near(hash: i64, bits: u32) -> [Vec<i32>; 4] {
    let apart = bits / 4;
    let masks: Vec<i32> = (0..1_i32 << PART_BITS).filter(|mask| mask.count_ones() <= apart).collect();
    [0, 1, 2, 3].map(|part| {
        let value = (hash >> (PART_BITS * part) & 0xffff) as i32;
        masks.iter().map(|mask| value ^ mask).collect()
    })
}

async fn alike(db: &mut PgConnection, plan: &SearchPlan, term: &FilterTerm, md5: ContentMd5) -> Result<Vec<Ranked>> {
    let (image, _) = reference(db, plan, term, md5).await?;
    let of = search::embedded(db, image).await?;
    let of = of.ok_or_else(|| refused(term, "no result of that image has an embedding"))?;
    let newest = gather(db, plan, TitlePlace::FIRST, DateTime::<Utc>::MAX_UTC, COMPARED_MAX).await?.found;
    let images: Vec<i64> = newest.iter().map(|fitting| fitting.image_id).collect();
    let mut distances: HashMap<i64, f64> = HashMap::new();
    let began = Instant::now();
    for images in images.chunks(COMPARED_AT_ONCE) {
        if began.elapsed() > COMPARED_TIME_MAX {
            break;
        }
        search::embeddings(db, images, &of, |image, vectors| {
            // Of several, as of the faces of a group, the nearest counts.
            let nearest = vectors.iter().filter_map(|vector| distance(&of.vector, vector)).min_by(f64::total_cmp);
            distances.extend(nearest.map(|nearest| (image, nearest)));
        })
        .await?;
    }
    let ranked = |fitting: Fitting| Some(Ranked { distance: *distances.get(&fitting.image_id)?, fitting });
    Ok(newest.into_iter().filter_map(ranked).collect())
}

/// How far two directions are apart: 0 the same, 1 at a right angle, 2 opposite; nothing where one has none.
fn distance(a: &[f32], b: &[f32]) -> Option<f64> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let distance = 1.0 - product(a, b) / (product(a, a) * product(b, b)).sqrt();
    (a.len() == b.len() && distance.is_finite()).then_some(distance.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_within_reach_is_missed() {
        let hash = 0x0123_4567_89ab_cdef_u64.cast_signed();
        // Differences spread over the parts as evenly as can be, and all in one.
        for bits in [0, 3, 4, 7, 8, 11] {
            let near = parts_near(hash, bits);
            let mut spread = 0_u64;
            for bit in 0..bits {
                spread |= 1 << (PART_BITS * (bit % 4) + bit / 4);
            }
            for apart in [spread, (1 << bits) - 1] {
                let other = hash ^ apart.cast_signed();
                let part = |n: usize| (other >> (16 * n) & 0xffff) as i32;
                assert!((0..4).any(|n| near[n].contains(&part(n))), "{bits} bits: {apart:x}");
            }
        }
    }

    #[test]
    fn distances_are_between_directions() {
        let is = |a: &[f32], b: &[f32], expected: Option<f64>| {
            let told = distance(a, b);
            assert!(told == expected || told.zip(expected).is_some_and(|(a, b)| (a - b).abs() < 1e-9), "{told:?}");
        };
        is(&[1.0, 1.0], &[2.0, 2.0], Some(0.0));
        is(&[1.0, 0.0], &[0.0, 3.0], Some(1.0));
        is(&[1.0, 0.0], &[-2.0, 0.0], Some(2.0));
        is(&[1.0, 0.0], &[1.0], None);
        is(&[0.0, 0.0], &[1.0, 0.0], None);
        is(&[f32::INFINITY, 0.0], &[1.0, 0.0], None);
    }
}
