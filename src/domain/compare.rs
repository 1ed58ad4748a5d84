//! What changed between what two versions of a model say of an image.
//!
//! Boxes of one label are matched by how much they overlap, the nearest first; labels, texts, hashes and points by what they say.
//! Embeddings and files are compared by nobody, nor are items of types that have no meaning here.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::result::{KnownItem, items};

/// Boxes that overlap by so much of what both cover are the same: two runs of one model seldom agree to the pixel.
pub const SAME_OVERLAP_MIN: f64 = 0.9;
/// Those that overlap by less, but by so much, are one that moved.
pub const MOVED_OVERLAP_MIN: f64 = 0.3;
/// The most items of a result that are compared, those of the highest scores: every box may meet every other.
pub const ITEMS_COMPARED_MAX: usize = 500;

/// A kind of change of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Something is there that was not.
    Gained,
    /// Something is not there any more.
    Lost,
    /// A box is elsewhere, or of another size.
    Moved,
    /// Nothing of the kind.
    Same,
}

/// A box that moved.
#[derive(Debug)]
pub struct MovedBox<'a> {
    pub from: KnownItem<'a>,
    pub to: KnownItem<'a>,
    /// How much of what both cover they share, from [`MOVED_OVERLAP_MIN`] to below [`SAME_OVERLAP_MIN`].
    pub overlap: f64,
}

/// What changed from one result to another, each in the order of its result.
#[derive(Debug, Default)]
pub struct Differences<'a> {
    pub gained: Vec<KnownItem<'a>>,
    pub lost: Vec<KnownItem<'a>>,
    pub moved: Vec<MovedBox<'a>>,
    /// As the later result has them.
    pub same: Vec<KnownItem<'a>>,
    /// Whether one of them has more items than are compared.
    pub cut: bool,
}

impl Differences<'_> {
    /// Whether it is of this kind; without one, whether anything changed.
    pub fn is(&self, kind: Option<ChangeKind>) -> bool {
        match kind {
            Some(ChangeKind::Gained) => !self.gained.is_empty(),
            Some(ChangeKind::Lost) => !self.lost.is_empty(),
            Some(ChangeKind::Moved) => !self.moved.is_empty(),
            Some(ChangeKind::Same) => !self.is(None),
            None => !(self.gained.is_empty() && self.lost.is_empty() && self.moved.is_empty()),
        }
    }
}

/// Compares two results as they are kept; of one label only, if one is given.
pub fn compare<'a>(before: &'a str, after: &'a str, label: Option<&str>) -> Differences<'a> {
    let ((old, old_cut), (new, new_cut)) = (compared(before, label), compared(after, label));
    let mut partners: Vec<Option<(usize, f64)>> = vec![None; old.len()];
    let mut taken = vec![false; new.len()];
    for (overlap, a, b) in pairs(&old, &new) {
        if partners[a].is_none() && !taken[b] {
            partners[a] = Some((b, overlap));
            taken[b] = true;
        }
    }
    let mut comparison = Differences { cut: old_cut || new_cut, ..Differences::default() };
    let mut new: Vec<Option<KnownItem<'a>>> = new.into_iter().map(Some).collect();
    for (from, partner) in old.into_iter().zip(partners) {
        match partner.and_then(|(b, overlap)| Some((new[b].take()?, overlap))) {
            None => comparison.lost.push(from),
            Some((to, overlap)) if overlap >= SAME_OVERLAP_MIN => comparison.same.push(to),
            Some((to, overlap)) => comparison.moved.push(MovedBox { from, to, overlap }),
        }
    }
    comparison.gained.extend(new.into_iter().flatten());
    comparison
}

/// The items of a result that are compared, and whether there are more.
fn compared<'a>(document: &'a str, label: Option<&str>) -> (Vec<KnownItem<'a>>, bool) {
    let mut found = items(document);
    found.retain(|item| label.is_none_or(|label| item.said.label.as_deref() == Some(label)));
    let cut = found.len() > ITEMS_COMPARED_MAX;
    if cut {
        let score = |item: &KnownItem<'_>| item.said.value.unwrap_or(-1.0);
        found.sort_by(|a, b| score(b).total_cmp(&score(a)));
        found.truncate(ITEMS_COMPARED_MAX);
    }
    (found, cut)
}

/// What may be the same thing in both, nearest first: how much it overlaps, and its places.
fn pairs(old: &[KnownItem<'_>], new: &[KnownItem<'_>]) -> Vec<(f64, usize, usize)> {
    type Alike<'k> = (&'k str, Option<&'k str>, Option<&'k str>);
    let mut groups: HashMap<Alike<'_>, [Vec<usize>; 2]> = HashMap::new();
    for (side, items) in [old, new].into_iter().enumerate() {
        for (place, KnownItem { said, .. }) in items.iter().enumerate() {
            let alike = (said.kind, said.label.as_deref(), said.text.as_deref());
            groups.entry(alike).or_default()[side].push(place);
        }
    }
    let mut pairs = Vec::new();
    for [olds, news] in groups.into_values() {
        let is_placed = olds.first().is_some_and(|a| old[*a].corners.is_some());
        if is_placed {
            let overlap = |a: usize, b: usize| Some(overlap(old[a].corners?, new[b].corners?));
            let all = olds.iter().flat_map(|a| news.iter().map(|b| (*a, *b)));
            pairs.extend(all.filter_map(|(a, b)| Some((overlap(a, b)?, a, b))).filter(|p| p.0 >= MOVED_OVERLAP_MIN));
        } else {
            pairs.extend(olds.into_iter().zip(news).map(|(a, b)| (1.0, a, b)));
        }
    }
    // Of pairs as near as each other those of the lowest places come first, whichever side is the old one.
    pairs.sort_by(|x, y| {
        y.0.total_cmp(&x.0).then_with(|| (x.1.max(x.2), x.1.min(x.2)).cmp(&(y.1.max(y.2), y.1.min(y.2))))
    });
    pairs
}

/// How much of what two boxes cover together they share, 0…1.
pub fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    if a == b {
        // However small: its area may be less than the least number.
        return 1.0;
    }
    let side = |from: f64, to: f64| (to - from).max(0.0);
    let area = |[x0, y0, x1, y1]: [f64; 4]| side(x0, x1) * side(y0, y1);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let covered = area(a) + area(b) - shared;
    if covered > 0.0 { shared / covered } else { 0.0 }
}

#[cfg(test)]
mod tests;
