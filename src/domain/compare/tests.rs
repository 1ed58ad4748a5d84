use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;

fn document(items: &[Value]) -> String {
    json!({"items": items, "fields": {"n": 1}, "summary": null}).to_string()
}

fn boxed(label: Option<&str>, corners: [f64; 4]) -> Value {
    json!({"type": "box", "box": corners, "label": label, "score": 0.5})
}

/// How many were gained, lost, moved, and stayed.
fn numbers(of: &Differences<'_>) -> [usize; 4] {
    [of.gained.len(), of.lost.len(), of.moved.len(), of.same.len()]
}

fn compared(before: &[Value], after: &[Value]) -> [usize; 4] {
    numbers(&compare(&document(before), &document(after), None))
}

#[test]
fn each_kind_of_item_is_compared_by_what_it_says() {
    let a = boxed(Some("car"), [0.1, 0.1, 0.5, 0.5]);
    let label = |label: &str, score: f64| json!({"type": "label", "label": label, "score": score});
    let text = |text: &str, x: f64| json!({"type": "text", "text": text, "polygon": [[x, 0], [1, 1], [x, 1]]});
    let hash = |value: &str| json!({"type": "hash", "algo": "phash64", "value": value});
    let points = |x: f64| json!({"type": "points", "points": [[x, 0.5]], "label": "eyes"});
    // Before, after; gained, lost, moved, same.
    let cases: &[(&[Value], &[Value], [usize; 4])] = &[
        (&[], &[], [0, 0, 0, 0]),
        (&[], std::slice::from_ref(&a), [1, 0, 0, 0]),
        (std::slice::from_ref(&a), &[], [0, 1, 0, 0]),
        (std::slice::from_ref(&a), std::slice::from_ref(&a), [0, 0, 0, 1]),
        // Of 0.16 a tenth, a half, and three fourths are not shared.
        (std::slice::from_ref(&a), &[boxed(Some("car"), [0.1, 0.1, 0.5, 0.47])], [0, 0, 0, 1]),
        (std::slice::from_ref(&a), &[boxed(Some("car"), [0.1, 0.1, 0.5, 0.3])], [0, 0, 1, 0]),
        (std::slice::from_ref(&a), &[boxed(Some("car"), [0.1, 0.1, 0.5, 0.2])], [1, 1, 0, 0]),
        (std::slice::from_ref(&a), &[boxed(Some("lorry"), [0.1, 0.1, 0.5, 0.5])], [1, 1, 0, 0]),
        (std::slice::from_ref(&a), &[boxed(None, [0.1, 0.1, 0.5, 0.5])], [1, 1, 0, 0]),
        (&[boxed(None, [0.0, 0.0, 1.0, 1.0])], &[boxed(None, [0.0, 0.0, 1.0, 0.99])], [0, 0, 0, 1]),
        // A score is no change; one label more of the same is.
        (&[label("cat", 0.9)], &[label("cat", 0.1)], [0, 0, 0, 1]),
        (&[label("cat", 0.9)], &[label("cat", 0.1), label("cat", 0.9), label("dog", 1.0)], [2, 0, 0, 1]),
        (&[text("STREET", 0.0)], &[text("STREET", 0.9)], [0, 0, 0, 1]),
        (&[text("STREET", 0.0)], &[text("STREFT", 0.0)], [1, 1, 0, 0]),
        (&[hash("00")], &[hash("01")], [1, 1, 0, 0]),
        (&[points(0.1)], &[points(0.9)], [0, 0, 0, 1]),
        // What nobody compares.
        (
            &[json!({"type": "embedding", "space": "s", "values": [1]}), json!({"type": "file", "name": "a"})],
            &[json!({"type": "new"})],
            [0; 4],
        ),
    ];
    for (before, after, expected) in cases {
        assert_eq!(compared(before, after), *expected, "{before:?} → {after:?}");
    }
}

#[test]
fn of_several_the_nearest_are_one() {
    let [a, b] = [[0.0, 0.0, 0.4, 0.4], [0.1, 0.0, 0.5, 0.4]];
    let (before, after) = (document(&[boxed(Some("x"), a)]), document(&[boxed(Some("x"), b), boxed(Some("x"), a)]));
    let told = compare(&before, &after, None);
    assert_eq!(numbers(&told), [1, 0, 0, 1]);
    assert_eq!(told.gained[0].corners, Some(b));
    let back = compare(&after, &before, None);
    assert_eq!((numbers(&back), back.lost[0].corners), ([0, 1, 0, 1], Some(b)));
    // Only what is labelled so.
    let both = document(&[boxed(Some("x"), a), boxed(Some("y"), b), boxed(None, b)]);
    assert_eq!(numbers(&compare(&both, &document(&[]), Some("y"))), [0, 1, 0, 0]);
    assert_eq!(numbers(&compare(&both, &document(&[]), Some("z"))), [0; 4]);
}

#[test]
fn of_a_crowd_the_surest_are_compared() {
    let many: Vec<Value> = (0..=ITEMS_COMPARED_MAX)
        .map(|n| json!({"type": "label", "label": format!("l{n}"), "score": n as f64 / 1e3}))
        .collect();
    let (whole, surest) = (document(&many), document(&many[1..]));
    let told = compare(&whole, &surest, None);
    assert_eq!((numbers(&told), told.cut), ([0, 0, 0, ITEMS_COMPARED_MAX], true));
    assert!(!compare(&surest, &surest, None).cut);
}

/// A result of some boxes near each other, of few labels, some of them twice, and some labels and texts.
fn any(random: &mut StdRng) -> String {
    let mut items = Vec::new();
    for _ in 0..random.random_range(0..12) {
        let word = ["a", "b"][random.random_range(0..2)];
        let item = match random.random_range(0..6) {
            0 => json!({"type": "label", "label": word}),
            1 => json!({"type": "text", "text": word}),
            _ => {
                // On a grid, so that many overlap by just as much.
                let [x, y] = [0, 1].map(|_| f64::from(random.random_range(0..6)) / 10.0);
                let [w, h] = [0, 1].map(|_| f64::from(random.random_range(1..4)) / 10.0);
                boxed(Some(word), [x, y, x + w, y + h])
            }
        };
        items.extend(std::iter::repeat_n(item, random.random_range(1..3)));
    }
    document(&items)
}

#[test]
fn whatever_is_compared_nothing_is_lost_from_the_count_and_turned_round_it_is_the_same() {
    let mut random = StdRng::seed_from_u64(7);
    let words = |items: &[KnownItem<'_>]| items.iter().map(|item| item.json.get().to_owned()).collect::<Vec<_>>();
    for _ in 0..2_000 {
        let (before, after) = (any(&mut random), any(&mut random));
        let told = compare(&before, &after, None);
        let [gained, lost, moved, same] = numbers(&told);
        assert_eq!((lost + moved + same, gained + moved + same), (items(&before).len(), items(&after).len()));
        for MovedBox { from, to, overlap } in &told.moved {
            assert!((MOVED_OVERLAP_MIN..SAME_OVERLAP_MIN).contains(overlap));
            assert_eq!(&from.said.label, &to.said.label);
        }
        // What stays apart has nothing left to be matched with.
        let left = |a: &KnownItem<'_>, b: &KnownItem<'_>| {
            (a.said.kind, &a.said.label, &a.said.text) == (b.said.kind, &b.said.label, &b.said.text)
                && a.corners.zip(b.corners).is_none_or(|(a, b)| super::overlap(a, b) >= MOVED_OVERLAP_MIN)
        };
        assert!(!told.lost.iter().any(|a| told.gained.iter().any(|b| left(a, b))), "{before} → {after}");
        let back = compare(&after, &before, None);
        assert_eq!(
            (words(&back.gained), words(&back.lost)),
            (words(&told.lost), words(&told.gained)),
            "{before} ↔ {after}"
        );
        assert_eq!(numbers(&back), [lost, gained, moved, same]);
        assert_eq!(numbers(&compare(&before, &before, None)), [0, 0, 0, items(&before).len()]);
    }
}

#[test]
fn an_overlap_is_a_part_of_one() {
    let unit = [0.0, 0.0, 1.0, 1.0];
    assert!((overlap(unit, [0.0, 0.0, 0.5, 1.0]) - 0.5).abs() < 1e-12);
    assert!((overlap(unit, [0.5, 0.5, 1.0, 1.0]) - 0.25).abs() < 1e-12);
    assert!(overlap([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]).abs() < 1e-12, "they touch");
    let least = [0.0, 0.0, f64::MIN_POSITIVE, f64::MIN_POSITIVE];
    assert!((overlap(least, least) - 1.0).abs() < 1e-12 && overlap(least, unit).abs() < 1e-12);
}
