//! The verdict on training runs: their leases, what they measured, and every byte of their files.

use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::verdict::{Verdict, ask, tell};
use crate::cast::researcher::differs;
use crate::site::{REPLICAS, Site};

const QUERIES: &str = include_str!("training.sql");

/// Judges runs; the books are loaded.
pub async fn judge(db: &mut PgConnection, site: &Site, verdict: &mut Verdict) -> anyhow::Result<()> {
    for name in ["beside", "metrics", "models", "resumed", "halves"] {
        tell(verdict, name, &ask(db, QUERIES, name).await?);
    }
    let mut damaged = Vec::new();
    for (n, file) in ask(db, QUERIES, "files").await?.iter().enumerate() {
        let mut words = file.split(' ');
        let (sha256, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let bytes = std::fs::read(site.scratch.join("data/images").join(path));
        if !bytes.is_ok_and(|bytes| hex::encode(Sha256::digest(&bytes)) == sha256) {
            damaged.push(path.to_owned());
        }
        // Those that count are fetched as well, each through one of the replicas.
        if let Some(run) = words.next() {
            damaged
                .extend(differs(site, n % REPLICAS, &format!("/training/results/{run}/model"), &json!(sha256)).await);
        }
    }
    tell(verdict, "damaged", &damaged);
    verdict.runs = ask(db, QUERIES, "counts").await?.remove(0).split(' ').map(str::to_owned).collect();
    Ok(())
}
