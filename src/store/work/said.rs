//! The rows of several results as columns: what was said of each image, to be searched.

use crate::domain::result::ItemRow;

/// Columns of rows, one result's after the other's, and where each result's lie among them, counted from 1 as SQL does.
#[derive(Default)]
pub(super) struct SaidColumns<'a> {
    pub(super) first: Vec<i32>,
    /// One below `first` of a result without rows.
    pub(super) last: Vec<i32>,
    pub(super) place: Vec<i16>,
    pub(super) kind: Vec<&'static str>,
    pub(super) label: Vec<Option<&'a str>>,
    pub(super) value: Vec<Option<f64>>,
    pub(super) text: Vec<Option<&'a str>>,
}

impl<'a> SaidColumns<'a> {
    pub(super) fn of(results: impl Iterator<Item = &'a [ItemRow]>) -> Self {
        let mut said = Self::default();
        for rows in results {
            said.first.push(said.place.len() as i32 + 1);
            for row in rows {
                said.place.push(row.place);
                said.kind.push(row.kind);
                said.label.push(row.label.as_deref());
                said.value.push(row.value);
                said.text.push(row.text.as_deref());
            }
            said.last.push(said.place.len() as i32);
        }
        said
    }
}
