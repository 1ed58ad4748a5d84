//! What a worker does on order only.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Lease, WAIT, Worker};
use crate::cast::session::{Gone, lock, settle};

/// How many leases it takes before a death that was ordered.
const HOARD: usize = 100;
/// How often it claims for that before it gives up.
const HOARD_CLAIMS: usize = 40;

/// How many leases it sits on.
const DAWDLE: usize = 30;
/// How long, not counting the time that it is stopped.
const DAWDLE_FOR: Duration = Duration::from_millis(400);
/// How often it insists: each time others may have come to run other jobs of it.
const DAWDLE_REPEATS: usize = 5;

impl Worker {
    /// Takes a hundred leases, says so, and holds them until it is killed, or for a while.
    pub(super) async fn hoard(&mut self, held: &[Lease]) -> anyhow::Result<Result<(), Gone>> {
        let mut count = held.len();
        for _ in 0..HOARD_CLAIMS {
            match self.claim(Uuid::new_v4(), HOARD.saturating_sub(count).max(1), 0.25).await? {
                Ok(claimed) => count += claimed.len(),
                Err(Gone) => return Ok(Err(Gone)),
            }
            if count >= HOARD {
                break;
            }
        }
        println!("hoards {count}");
        tokio::time::sleep(Duration::from_secs_f64(2.0 * self.lease_s)).await;
        // Not killed: it forgets them, and a beat that does not list them gives them back.
        lock(&self.now).held.retain(|id, _| held.iter().any(|(kept, _)| kept == id));
        Ok(Ok(()))
    }

    /// Sends a claim again while it releases what the first answer gave; works on with what the second gave.
    pub(super) async fn replay_against_release(&mut self, jobs: &mut Vec<Lease>) -> anyhow::Result<Result<(), Gone>> {
        let claim_id = Uuid::new_v4();
        let first = match self.claim(claim_id, 20, 1.0).await? {
            Ok(first) => first,
            Err(Gone) => return Ok(Err(Gone)),
        };
        let session = lock(&self.now).id;
        let items: Value = first.iter().map(|(id, no)| json!({ "id": id, "lease_no": no })).collect();
        let replay = json!({ "worker": session, "claim_id": claim_id, "max": 20, "wait_s": 0 });
        let release = json!({ "worker": session, "items": items });
        let (again, released) =
            tokio::join!(self.api.post("/jobs/claim", replay, WAIT), self.api.post("/jobs/release", release, WAIT));
        if again.0 == 410 {
            return Ok(Err(Gone));
        }
        anyhow::ensure!(again.0 == 200 && released.0 == 200, "{again:?} {released:?}");
        settle(&mut self.ledger, &self.now, session, &items, &released.1);
        jobs.extend(self.take_up(session, &again.1));
        self.ledger.commit()?;
        println!("replayed {}", first.len());
        Ok(Ok(()))
    }

    /// Takes some jobs, says so, and completes them after a while, whatever has become of its session: it is stopped
    /// in between.
    pub(super) async fn dawdle(&mut self) -> anyhow::Result<Result<(), Gone>> {
        let mut held = Vec::new();
        for _ in 0..HOARD_CLAIMS {
            match self.claim(Uuid::new_v4(), DAWDLE, 0.25).await? {
                Ok(claimed) => held.extend(claimed),
                Err(Gone) => return Ok(Err(Gone)),
            }
            if held.len() >= DAWDLE {
                break;
            }
        }
        let session = lock(&self.now).id;
        println!("dawdles {}", held.len());
        tokio::time::sleep(DAWDLE_FOR).await;
        let items: Vec<Value> = held.iter().map(|(id, no)| self.success(session, id, *no)).collect();
        let body = json!({ "worker": session, "items": items });
        for _ in 0..DAWDLE_REPEATS {
            self.complete(session, &body).await?;
        }
        Ok(Ok(()))
    }
}
