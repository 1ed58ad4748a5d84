//! Places: which of the things asked together a row answers.

/// The place of a thing among those that were asked together, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedPlace(pub usize);

/// Of a place as the database counts it, from 1.
impl TryFrom<i64> for AskedPlace {
    type Error = String;

    fn try_from(counted: i64) -> Result<Self, String> {
        let place = usize::try_from(counted).ok().and_then(|counted| counted.checked_sub(1));
        place.map(Self).ok_or_else(|| format!("the place {counted}"))
    }
}
