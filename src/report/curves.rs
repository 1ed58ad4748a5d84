//! What a run measured as curves: loss with loss, accuracy with accuracy, and everything else by itself.

use std::collections::BTreeMap;

use crate::client::training::RunPoint;

/// Curves that share their axes.
#[derive(Debug, PartialEq)]
pub struct Panel {
    /// What they have in common, or the name of the only one.
    pub title: String,
    /// At least one, by name.
    pub curves: Vec<Curve>,
    /// The first and the last epoch, which may be the same.
    pub epochs: (f64, f64),
    /// The lowest and the highest value; never the same.
    pub values: (f64, f64),
}

/// One measure over the epochs.
#[derive(Debug, PartialEq)]
pub struct Curve {
    /// As the service calls it.
    pub name: String,
    /// Epoch and value, by epoch; at least one.
    pub points: Vec<(f64, f64)>,
}

/// The curves of a run: loss first, then accuracy, then the others. Of an epoch the last attempt counts.
pub fn panels(points: &[RunPoint]) -> Vec<Panel> {
    let mut by_name: BTreeMap<&str, BTreeMap<i32, f64>> = BTreeMap::new();
    for point in points {
        for (name, value) in &point.values {
            by_name.entry(name).or_default().insert(point.epoch, *value);
        }
    }
    let mut by_title: BTreeMap<(usize, &str), Vec<Curve>> = BTreeMap::new();
    for (name, values) in by_name {
        let points = values.into_iter().map(|(epoch, value)| (f64::from(epoch), value)).collect();
        by_title.entry(title(name)).or_default().push(Curve { name: name.to_owned(), points });
    }
    by_title.into_iter().map(|((_, title), curves)| Panel::of(title, curves)).collect()
}

/// Under which title a measure stands, and in which order.
fn title(name: &str) -> (usize, &str) {
    let lower = name.to_ascii_lowercase();
    match ["loss", "acc"].into_iter().position(|part| lower.contains(part)) {
        Some(0) => (0, "loss"),
        Some(_) => (1, "accuracy"),
        None => (2, name),
    }
}

impl Panel {
    fn of(title: &str, curves: Vec<Curve>) -> Self {
        let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
        let bounds = |of: fn((f64, f64)) -> f64| {
            all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let (epochs, (low, high)) = (bounds(|point| point.0), bounds(|point| point.1));
        // A curve that is level lies in the middle.
        let room = if low < high { 0.0 } else { (low.abs() * 0.1).max(0.1) };
        Self { title: title.to_owned(), epochs, values: (low - room, high + room), curves }
    }

    /// Where an epoch and a value lie, each from 0 (first, lowest) to 1.
    pub fn place(&self, (epoch, value): (f64, f64)) -> (f64, f64) {
        let part = |x: f64, (low, high): (f64, f64)| {
            if low < high { (x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.0 }
        };
        (part(epoch, self.epochs), part(value, self.values))
    }
}

/// A number in as few characters as say enough.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1e9 && value.fract() == 0.0 => format!("{value:.0}"),
        0.001..1e5 => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(attempt: i16, epoch: i32, values: &[(&str, f64)]) -> RunPoint {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        RunPoint { attempt, epoch, values }
    }

    #[test]
    fn what_belongs_together_shares_its_axes_and_the_last_attempt_counts() {
        let points = [
            point(1, 1, &[("loss", 0.9), ("val_acc", 0.5), ("lr", 0.1)]),
            point(1, 2, &[("loss", 9.0)]),
            point(2, 2, &[("loss", 0.5), ("val_loss", 0.7), ("lr", 0.1)]),
        ];
        let panels = panels(&points);
        let titles: Vec<&str> = panels.iter().map(|panel| panel.title.as_str()).collect();
        assert_eq!(titles, ["loss", "accuracy", "lr"]);
        assert_eq!((panels[0].epochs, panels[0].values), ((1.0, 2.0), (0.5, 0.9)));
        assert_eq!(panels[0].curves[0].points, [(1.0, 0.9), (2.0, 0.5)]);
        assert_eq!(panels[0].place((2.0, 0.9)), (1.0, 1.0));
        assert_eq!(panels[1].place((1.0, 0.5)), (0.0, 0.5), "one epoch, level");
        let huge = super::panels(&[point(1, 1, &[("x", f64::MAX)]), point(1, 2, &[("x", f64::MIN)])]);
        assert_eq!(huge[0].place((2.0, f64::MIN)), (1.0, 0.0));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.123456, 20.0, 1e-7, 123_456.5].map(number), ["0.1235", "20", "1.000e-7", "1.235e5"]);
    }
}
