//! Whether every replica served all the while: as long as nothing takes the service from it, no [`BOUND_S`] pass without a whole
//! lifecycle at it.

use std::collections::BTreeMap;

use crate::clock;
use crate::site::REPLICAS;

/// The longest that a replica may be without a whole lifecycle, in seconds. A pool whose connections died unnoticed costs a call
/// of 4 s, and another of 4 s where a lifecycle meets a second pool; a server starts within 3 s. The rest is for the lifecycles
/// themselves: one takes a second on an idle machine, and several on one that also compiles.
pub const BOUND_S: f64 = 20.0;

/// A whole lifecycle at a replica, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub at: usize,
    pub from: f64,
    pub to: f64,
}

/// What was done to whom: the replicas that could not serve meanwhile.
#[derive(Debug, Clone)]
pub struct Wound {
    pub kind: &'static str,
    pub replicas: Vec<usize>,
    pub from: f64,
    pub to: f64,
}

/// What is found.
#[derive(Default)]
pub struct Recovery {
    /// The longest until a whole lifecycle, by what went before, and after how many of it that was seen, each replica counted.
    pub worst: BTreeMap<&'static str, (f64, usize)>,
    pub unserved: Vec<String>,
}

/// Judges until an instant.
pub fn judge(lives: &[Life], wounds: &[Wound], until: f64) -> Recovery {
    let mut found = Recovery::default();
    for at in 0..REPLICAS {
        let mut lives: Vec<Life> = lives.iter().copied().filter(|life| life.at == at).collect();
        lives.sort_by(|a, b| a.to.total_cmp(&b.to));
        let Some(first) = lives.first().copied() else {
            found.unserved.push(format!("replica-{at} never completed a lifecycle"));
            continue;
        };
        let mut cuts: Vec<&Wound> = wounds.iter().filter(|w| w.replicas.contains(&at) && w.to > first.to).collect();
        cuts.sort_by(|a, b| a.from.total_cmp(&b.from));
        judge_replica(&mut found, at, &lives, &cuts, first.to, until);
        for wound in wounds.iter().filter(|w| w.replicas.is_empty() && w.from > first.to) {
            // It takes the service from nobody, while it lasts neither.
            let Some(next) = lives.iter().find(|life| life.from >= wound.from) else { continue };
            if !cuts.iter().any(|cut| cut.from < next.to && cut.to > wound.from) {
                note(&mut found, wound.kind, next.to - wound.from);
            }
        }
    }
    found
}

fn judge_replica(found: &mut Recovery, at: usize, lives: &[Life], cuts: &[&Wound], from: f64, until: f64) {
    let (mut quiet_from, mut after, mut waited) = (from, None, 0.0);
    let ends = cuts.iter().map(|cut| (cut.from, cut.to, Some(cut.kind))).chain([(until, until, None)]);
    for (cut_from, cut_to, kind) in ends {
        let mut last = quiet_from;
        let here = lives.iter().map(|life| life.to).filter(|to| (quiet_from..cut_from).contains(to));
        for moment in here.map(Some).chain([None]) {
            waited += (moment.unwrap_or(cut_from) - last).max(0.0);
            if waited > BOUND_S {
                let kind = after.unwrap_or("nothing");
                found.unserved.push(format!(
                    "replica-{at} was without a whole lifecycle for {waited:.1} s of quiet up to {}, after {kind}",
                    clock(moment.unwrap_or(cut_from))
                ));
                waited = 0.0;
            }
            if let Some(moment) = moment {
                if let Some(kind) = after.take() {
                    note(found, kind, waited);
                }
                (last, waited) = (moment, 0.0);
            }
        }
        if kind.is_some() && cut_to >= quiet_from {
            // What goes wrong anew is waited for anew.
            (quiet_from, after, waited) = (cut_to.max(quiet_from), kind, 0.0);
        }
    }
}

fn note(found: &mut Recovery, kind: &'static str, waited_s: f64) {
    let worst = found.worst.entry(kind).or_default();
    *worst = (worst.0.max(waited_s), worst.1 + 1);
}
