//! Which API keys were used.

use std::collections::HashSet;

use parking_lot::Mutex;

/// The keys that were used here since it was last written down: a request costs no row for it.
#[derive(Default)]
pub struct KeyUses(Mutex<HashSet<String>>);

impl KeyUses {
    /// Notes that a key was used.
    pub fn note(&self, id: &str) {
        let mut used = self.0.lock();
        if !used.contains(id) {
            used.insert(id.to_owned());
        }
    }

    /// Takes what was noted.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().drain().collect()
    }
}
