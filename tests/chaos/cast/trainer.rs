//! A training service: claims a run, measures, saves checkpoints, uploads a model, completes; mostly well, sometimes not, and on
//! order it stands still too long or sends half a file.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::api::{Api, Body};
use super::part::Role;
use super::session::{Gone, Session, beat, lock, orders, settle};
use crate::judge::ledger::{Fact, Ledger};
use crate::setting;

/// How long it waits for an answer that does not itself wait.
const WAIT: Duration = Duration::from_secs(6);
/// How long it waits for a run, in seconds.
const CLAIM_WAIT_S: f64 = 3.0;
/// How long an epoch takes, in milliseconds.
const EPOCH_MS: std::ops::Range<u64> = 40..160;
/// The longest rest after a run, in milliseconds: it leaves the next to the others.
const REST_MS: u64 = 1_500;
/// How long it does nothing on order, not counting the time that it is stopped.
const LINGERS_FOR: Duration = Duration::from_millis(400);
/// The bytes of a file.
const FILE_BYTES: std::ops::Range<usize> = 50_000..400_000;

struct Trainer {
    name: String,
    dataset: String,
    api: Api,
    ledger: Ledger,
    dice: StdRng,
    now: Arc<Mutex<Session>>,
    orders: mpsc::UnboundedReceiver<String>,
}

/// A claimed run.
struct Run {
    id: String,
    lease_no: i64,
    session: Uuid,
    attempt: String,
    epochs: i64,
    saves: bool,
    /// What was claimed beside it: addresses and the checkpoint.
    given: Value,
}

impl Run {
    fn lease(&self) -> String {
        format!("worker={}&lease_no={}", self.session, self.lease_no)
    }

    /// Where a file of it is put.
    fn path(&self, kind: &str, epoch: i64, sha256: &str) -> String {
        let url = self.given[format!("{kind}_url")].as_str().unwrap_or_default();
        let about = if kind == "model" { "name=chaos.bin".to_owned() } else { format!("epoch={epoch}") };
        format!("{url}?{}&{about}&sha256={sha256}", self.lease())
    }
}

/// A file that nobody else makes: it begins with its nonce and the epoch.
struct Made {
    nonce: String,
    bytes: Vec<u8>,
    sha256: String,
}

pub async fn main() -> anyhow::Result<()> {
    let role = Role::of_this_process()?;
    let now = Arc::new(Mutex::new(Session::default()));
    let beats = role.api.with_token(setting("CHAOS_TOKEN", String::new())?);
    tokio::spawn(beat(beats, Arc::clone(&now), setting("CHAOS_LEASE_S", 2.0)?));
    let mut trainer = Trainer {
        name: role.name,
        dataset: setting("CHAOS_MODEL", String::new())?,
        api: role.api,
        ledger: role.ledger,
        dice: StdRng::seed_from_u64(role.seed ^ u64::from(std::process::id())),
        now,
        orders: orders(),
    };
    loop {
        trainer.register().await?;
        while !lock(&trainer.now).over {
            match trainer.claim().await? {
                Ok(Some(run)) => {
                    trainer.train(&run).await?;
                    let rest = trainer.dice.random_range(0..REST_MS);
                    tokio::time::sleep(Duration::from_millis(rest)).await;
                }
                Ok(None) => {}
                Err(Gone) => break,
            }
        }
    }
}

impl Trainer {
    async fn register(&mut self) -> anyhow::Result<()> {
        let body = json!({ "service": "train", "dataset": self.dataset, "version": "v1", "instance": Uuid::new_v4(), "host": self.name });
        let (status, answer) = self.api.post("/workers/register", body, WAIT).await;
        anyhow::ensure!(matches!(status, 200 | 201), "register answered {status}: {answer}");
        let id = Uuid::parse_str(answer["worker"].as_str().unwrap_or_default())?;
        *lock(&self.now) = Session { id, ..Session::default() };
        Ok(())
    }

    async fn claim(&mut self) -> anyhow::Result<Result<Option<Run>, Gone>> {
        let session = lock(&self.now).id;
        let body = json!({ "worker": session, "claim_id": Uuid::new_v4(), "max": 1, "wait_s": CLAIM_WAIT_S });
        let (status, answer) = self.api.post("/jobs/claim", body, WAIT + Duration::from_secs_f64(CLAIM_WAIT_S)).await;
        if status == 410 {
            return Ok(Err(Gone));
        }
        anyhow::ensure!(status == 200, "claim answered {status}: {answer}");
        let Some(job) = answer["jobs"].get(0) else { return Ok(Ok(None)) };
        let run = Run {
            id: job["id"].as_str().unwrap_or_default().to_owned(),
            lease_no: job["lease_no"].as_i64().unwrap_or(-1),
            session,
            attempt: job["attempt"].to_string(),
            epochs: job["params"]["epochs"].as_i64().unwrap_or(1),
            saves: job["params"]["save"] == true,
            given: job["run"].clone(),
        };
        lock(&self.now).held.insert(run.id.clone(), run.lease_no);
        self.note(&run, Fact { what: "claimed", session: Some(session), ..Fact::default() });
        self.ledger.commit()?;
        Ok(Ok(Some(run)))
    }

    /// Trains to the end, or until it hears that the run is no longer its own; half of the times, and after it stood still, it goes on
    /// all the same: that must change nothing.
    async fn train(&mut self, run: &Run) -> anyhow::Result<()> {
        let mut goes_on = self.dice.random_bool(0.5);
        let Some(first) = self.resume(run).await? else {
            self.forget(run);
            return Ok(());
        };
        for epoch in first..=run.epochs {
            goes_on |= self.obey(run, epoch).await?;
            tokio::time::sleep(Duration::from_millis(self.dice.random_range(EPOCH_MS))).await;
            let mut holds = self.measure(run, epoch).await?;
            if epoch % 2 == 0 {
                holds &= self.save(run, "checkpoint", epoch).await?;
            }
            holds &= !lock(&self.now).stopped.contains(&run.id);
            if !holds && !goes_on {
                self.forget(run);
                return Ok(());
            }
        }
        if run.saves {
            self.save(run, "model", run.epochs).await?;
        }
        self.end(run).await
    }

    fn forget(&self, run: &Run) {
        lock(&self.now).held.remove(&run.id);
    }

    /// Fetches the checkpoint that it was told of, and answers after which epoch it goes on; nothing if the run is no longer its own.
    async fn resume(&mut self, run: &Run) -> anyhow::Result<Option<i64>> {
        let told = &run.given["checkpoint"];
        if told.is_null() {
            self.note(run, Fact { what: "resumed", state: Some("well"), number: Some(0.0), ..Fact::default() });
            return Ok(Some(1));
        }
        let path = format!("{}?{}", run.given["checkpoint_url"].as_str().unwrap_or_default(), run.lease());
        let ((status, bytes), ..) = self.api.until_bytes(Method::GET, &path, &Body::Nothing, WAIT).await;
        if status == 409 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(bytes.get(..64).unwrap_or_default()).into_owned();
        let (nonce, epoch) = text.split_once(' ').unwrap_or_default();
        let epoch: i64 = epoch.split(' ').next().unwrap_or_default().parse().unwrap_or(-1);
        let well = status == 200 && told["sha256"] == hex::encode(Sha256::digest(&bytes)) && told["epoch"] == epoch;
        self.note(
            run,
            Fact {
                what: "resumed",
                nonce: Uuid::parse_str(nonce).is_ok().then_some(nonce),
                number: Some(epoch as f64),
                status: Some(i64::from(status)),
                state: Some(if well { "well" } else { "broken" }),
                ..Fact::default()
            },
        );
        self.ledger.commit()?;
        Ok(Some(epoch.max(0) + 1))
    }

    /// Does what it was ordered, if anything; answers whether it is to go on whatever becomes of its lease.
    async fn obey(&mut self, run: &Run, epoch: i64) -> anyhow::Result<bool> {
        match self.orders.try_recv().as_deref() {
            Ok("linger") => {
                println!("lingers");
                tokio::time::sleep(LINGERS_FOR).await;
                Ok(true)
            }
            Ok("halve") => self.send_half(run, "checkpoint", epoch).await.map(|()| false),
            Ok("cut") => self.send_half(run, "model", epoch).await.map(|()| false),
            _ => Ok(false),
        }
    }

    /// Sends what it measured; answers whether it was taken.
    async fn measure(&mut self, run: &Run, epoch: i64) -> anyhow::Result<bool> {
        // By it a report is known in the database.
        let mark: u32 = self.dice.random();
        let values = json!({ "loss": 1.0 / (1.0 + epoch as f64), "lease": run.lease_no, "mark": mark });
        let body = json!({ "worker": run.session, "lease_no": run.lease_no, "points": [{ "epoch": epoch, "values": values }] });
        self.api.take_retried();
        let (status, answer) = self.api.post(run.given["metrics_url"].as_str().unwrap_or_default(), body, WAIT).await;
        anyhow::ensure!(matches!(status, 200 | 409), "metrics answered {status}: {answer}");
        let again = self.retried();
        let (outcome, state) = (Some(run.attempt.as_str()), epoch.to_string());
        let (status, number) = (i64::from(status), f64::from(mark));
        self.note(
            run,
            Fact {
                what: "metrics",
                outcome,
                state: Some(&state),
                number: Some(number),
                status: Some(status),
                repeat: Some(again),
                ..Fact::default()
            },
        );
        self.ledger.commit()?;
        Ok(status == 200)
    }

    /// Uploads a file; answers whether it was taken.
    async fn save(&mut self, run: &Run, kind: &str, epoch: i64) -> anyhow::Result<bool> {
        let file = self.make(epoch);
        let (nonce, state, number) = (Some(file.nonce.as_str()), Some(file.sha256.as_str()), Some(epoch as f64));
        let fact = Fact { what: "sending", outcome: Some(kind), nonce, state, number, ..Fact::default() };
        self.note(run, fact);
        self.ledger.commit()?;
        self.api.take_retried();
        let path = run.path(kind, epoch, &file.sha256);
        let (status, answer) =
            self.api.until_answered(Method::PUT, &path, &Body::Bytes(file.bytes.clone()), WAIT).await;
        anyhow::ensure!(matches!(status, 200 | 409), "PUT {path} answered {status}: {answer}");
        let (repeat, status) = (Some(self.retried()), i64::from(status));
        let outcome = Some(kind);
        self.note(
            run,
            Fact { what: "file", outcome, nonce, state, number, status: Some(status), repeat, ..Fact::default() },
        );
        self.ledger.commit()?;
        Ok(status == 200)
    }

    /// Hangs up in the middle of an upload, and says so: neither its half nor the whole may ever be there.
    async fn send_half(&mut self, run: &Run, kind: &str, epoch: i64) -> anyhow::Result<()> {
        let file = self.make(epoch);
        let half = hex::encode(Sha256::digest(&file.bytes[..file.bytes.len() / 2]));
        for state in [&file.sha256, &half] {
            self.note(run, Fact { what: "half", outcome: Some(kind), state: Some(state), ..Fact::default() });
        }
        self.ledger.commit()?;
        let path = run.path(kind, epoch, &file.sha256);
        match self.api.cut_off(Method::PUT, &path, &file.bytes).await {
            Ok(()) => println!("hung up at {}", file.bytes.len() / 2),
            Err(error) => println!("could not: {error}"),
        }
        Ok(())
    }

    async fn end(&mut self, run: &Run) -> anyhow::Result<()> {
        let error = json!({ "type": "ChaosError", "message": "as ordered" });
        let mut item = json!({ "id": run.id, "lease_no": run.lease_no });
        let dice = self.dice.random_range(0..100);
        let released = (0..6).contains(&dice);
        match dice {
            0..6 => {}
            6..16 => {
                item["outcome"] = json!("retry");
                item["retry_after_s"] = json!(self.dice.random_range(0.0..1.0));
                item["error"] = error;
            }
            16..19 => {
                item["outcome"] = json!("rejected");
                item["error"] = error;
            }
            _ => {
                let fields = json!({ "by": run.session, "lease": run.lease_no, "nonce": Uuid::new_v4() });
                item["outcome"] = json!("succeeded");
                item["result"] = json!({ "fields": fields });
            }
        }
        let path = if released { "/jobs/release" } else { "/jobs/complete" };
        let body = json!({ "worker": run.session, "items": [item] });
        let (status, answer) = self.api.post(path, body.clone(), WAIT).await;
        anyhow::ensure!(status == 200, "{path} answered {status}: {answer}");
        settle(&mut self.ledger, &self.now, run.session, &body["items"], &answer);
        self.forget(run);
        self.ledger.commit()
    }

    fn make(&mut self, epoch: i64) -> Made {
        let nonce = Uuid::new_v4().to_string();
        let mut bytes = format!("{nonce} {epoch} ").into_bytes();
        let head = bytes.len();
        bytes.resize(self.dice.random_range(FILE_BYTES), 0);
        self.dice.fill(&mut bytes[head..]);
        Made { sha256: hex::encode(Sha256::digest(&bytes)), nonce, bytes }
    }

    /// Whether the last request was sent more than once: then an answer says nothing of the first time.
    fn retried(&mut self) -> bool {
        let count = self.api.take_retried();
        self.ledger.retried(count);
        count > 0
    }

    fn note(&mut self, run: &Run, fact: Fact<'_>) {
        self.ledger.note(&Fact { job: Some(&run.id), lease_no: Some(run.lease_no), ..fact });
    }
}
