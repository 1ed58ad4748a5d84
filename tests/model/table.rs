//! The committed table: what each operation is answered with in each state, and how often that was seen.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::state::State;

/// Every pair of the table is reached at least so often in a run.
pub const FLOOR: u32 = 20;
const TABLE: &str = include_str!("table.md");

type Table = HashMap<(&'static str, State), &'static str>;

/// The cells of `table.md` by operation and state; `—` is a pair that cannot be.
pub fn table() -> &'static Table {
    static READ: OnceLock<Table> = OnceLock::new();
    READ.get_or_init(|| {
        let lines = TABLE.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        let mut rows = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let heads = rows.next().expect("a head");
        let names: Vec<&str> = State::ALL.iter().map(|(_, name)| *name).collect();
        assert_eq!(heads[1..], names, "the columns are the states");
        let mut table = Table::new();
        for row in rows.skip(1) {
            assert_eq!(row.len(), heads.len(), "{}: a cell per state", row[0]);
            for ((state, _), cell) in State::ALL.into_iter().zip(&row[1..]).filter(|(_, cell)| **cell != "—") {
                assert!(table.insert((row[0], state), cell).is_none(), "{} is there twice", row[0]);
            }
        }
        table
    })
}

/// How often each pair was reached.
#[derive(Debug, Default, Clone)]
pub struct Hits(HashMap<(&'static str, State), u32>);

impl Hits {
    /// Counts an answer; an error when the table has another one, or none.
    pub fn count(&mut self, row: &'static str, state: State, answer: &str) -> Result<(), String> {
        match table().get(&(row, state)) {
            Some(expected) if *expected == answer => *self.0.entry((row, state)).or_default() += 1,
            Some(expected) => return Err(format!("{row} × {state:?}: got {answer:?}, the table says {expected:?}")),
            None => return Err(format!("{row} × {state:?}: got {answer:?}, the table has no such pair")),
        }
        Ok(())
    }

    /// How often a pair of the table was reached; nothing when it is none.
    pub fn of(&self, row: &'static str, state: State) -> Option<u32> {
        table().contains_key(&(row, state)).then(|| self.0.get(&(row, state)).copied().unwrap_or(0))
    }

    /// The pairs of which a lane lacks some of its share, each as often as it lacks them.
    pub fn lacking(&self) -> Vec<(&'static str, State)> {
        let mut lacking: Vec<(&'static str, State)> = Vec::new();
        for pair in table().keys() {
            let count = FLOOR.div_ceil(super::LANES).saturating_sub(self.0.get(pair).copied().unwrap_or(0));
            lacking.extend((0..count).map(|_| *pair));
        }
        // The order of a map is another one in every run.
        lacking.sort();
        lacking
    }

    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.0 {
            *self.0.entry(*pair).or_default() += count;
        }
    }

    /// The pairs that were reached more seldom than that, the rarest first.
    pub fn missing(&self, floor: u32) -> Vec<(u32, String)> {
        let short = |(row, state): &(&'static str, State)| {
            let count = self.of(row, *state).unwrap_or(0);
            (count < floor).then(|| (count, format!("{row} × {state:?}")))
        };
        let mut missing: Vec<_> = table().keys().filter_map(short).collect();
        missing.sort();
        missing
    }
}
