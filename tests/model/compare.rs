//! Compares what PostgreSQL, Redis and the look-ups hold with the model.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use super::state::{IMAGES, MODELS, Row, Session, State, USERS, image_of, model_of};
use super::world::{Check, World, same};
use crate::kit::images::{md5_of, photo};

impl World<'_> {
    /// Compares every job and archived job with the model, and every claim with its jobs.
    pub async fn compare(&mut self) -> Check {
        if std::mem::take(&mut self.m.jittered) {
            // However short a random back-off is, it does not pass within this case.
            self.sql(
                "UPDATE job SET run_at = clock_timestamp() + interval '1 hour' WHERE state = 'queued' AND NOT due",
                None,
            )
            .await?;
        }
        let (real, model) = (self.read().await?, self.m.rows());
        for (id, expected) in &model {
            let got = real.get(id).ok_or_else(|| format!("job {id} is gone; the model says {expected:?}"))?;
            if got != expected {
                return Err(format!("job {id}:\n  got            {got:?}\n  the model says {expected:?}"));
            }
        }
        same("jobs", real.len(), model.len())?;
        same("claims that count wrongly", self.app.miscounted_claims().await, Vec::new())
    }

    /// Every job as it is stored, live or ended.
    async fn read(&self) -> Check<BTreeMap<Uuid, Row>> {
        let rows = sqlx::query(
            "SELECT id, state::text, NULL AS reason, attempt, deaths, lease_no::bigint, session_id, claim_id, due, suspect, retry_of FROM job
             UNION ALL
             SELECT id, state::text, reason::text, attempt, deaths, lease_no::bigint, session_id, NULL, false, false, retry_of FROM job_archive",
        );
        let rows = rows.fetch_all(self.app.ctx.db.pool()).await.map_err(|e| e.to_string())?;
        let mut read = BTreeMap::new();
        for row in rows {
            let id: Uuid = row.get(0);
            let job = Row {
                state: row.get(1),
                reason: row.get(2),
                attempt: row.get(3),
                deaths: row.get(4),
                lease_no: row.get(5),
                session: row.get(6),
                claim: row.get(7),
                due: row.get(8),
                suspect: row.get(9),
                retry_of: row.get(10),
            };
            if let Some(first) = read.insert(id, job) {
                return Err(format!("job {id} is there twice: {first:?} and {:?}", read[&id]));
            }
        }
        Ok(read)
    }

    /// After a whole sweep the queues show exactly what may be claimed from them.
    pub async fn sweep(&mut self) -> Check {
        self.app.sweep().await;
        for (model, name) in MODELS.iter().enumerate() {
            let depth = self.app.ctx.index.depth(name).await;
            same("the queue's depth after a sweep", depth, Some(self.m.claimable(model).len() as u64))?;
        }
        Ok(())
    }

    /// The slower comparison: look-ups, sessions, and one end per job.
    pub async fn compare_more(&self) -> Check {
        for user in 0..USERS {
            for image in (0..IMAGES).filter(|image| self.m.titles[user][*image]) {
                let path = format!("/predict/{}", md5_of(&photo(image as u64)));
                let seen = self.users[user].get(&path).await.json();
                for (model, name) in MODELS.iter().enumerate() {
                    let of = |slot: usize| image_of(slot) == image && model_of(slot) == model;
                    let newest = self.m.jobs.iter().rfind(|j| of(j.slot) && !j.forgotten);
                    let shown = newest.map_or(json!([null, null]), |j| json!([j.id, j.state.public()]));
                    same(&path, json!([seen["jobs"][name]["id"], seen["jobs"][name]["state"]]), shown)?;
                    let success =
                        self.m.jobs.iter().rfind(|j| of(j.slot) && j.state == State::Succeeded && !j.forgotten);
                    same(&path, &seen["results"][name]["job"], &success.map_or(Value::Null, |j| json!(j.id)))?;
                }
            }
        }
        self.compare_runs().await?;
        let sessions: Vec<(Uuid, Option<String>)> =
            sqlx::query_as("SELECT id, end_reason FROM worker_session ORDER BY id")
                .fetch_all(self.app.ctx.db.pool())
                .await
                .map_err(|e| e.to_string())?;
        let end = |s: &Session| (s.id, s.end.map(|end| format!("{end:?}").to_lowercase()));
        let mut expected: Vec<_> = self.m.sessions.iter().map(end).collect();
        expected.sort();
        same("sessions", sessions, expected)?;
        let ended = self
            .app
            .count("SELECT count(*) FROM audit_events WHERE code IN ('succeeded', 'failed', 'cancelled')")
            .await;
        same("events of an end", ended, self.m.jobs.iter().filter(|j| j.state.ended()).count() as i64)
    }
}

/// What became of a job, as the table says it.
pub fn told(before: Option<&Row>, after: Option<&Row>) -> String {
    let (Some(before), Some(after)) = (before, after) else { return "gone".to_owned() };
    if before == after {
        return "no change".to_owned();
    }
    match (after.state.as_str(), &after.reason) {
        ("queued", _) if before.state == "queued" && after.due => "due".to_owned(),
        ("queued", _) if after.suspect => "suspect".to_owned(),
        (state, None) => state.to_owned(),
        (state, Some(reason)) => format!("{state}, {reason}"),
    }
}
