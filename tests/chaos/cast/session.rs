//! What every microservice has: a session that beats by itself, orders to misbehave, and a book of what became of its items.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::api::{Api, Body};
use crate::judge::ledger::{Fact, Ledger};
use crate::{clock, now_s};

/// What the beats know.
#[derive(Default)]
pub struct Session {
    pub id: Uuid,
    pub held: HashMap<String, i64>,
    pub stopped: Vec<String>,
    pub over: bool,
}

/// The session is over.
pub struct Gone;

/// The session, whoever else looks at it.
pub fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines from the standard input; its end is the end of the process.
pub fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let heard = std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        std::process::exit(i32::from(heard.is_err()))
    });
    orders
}

/// Beats four times a lease, at another address when one does not answer in time.
pub async fn beat(api: Api, now: Arc<Mutex<Session>>, lease_s: f64) {
    let period = Duration::from_secs_f64(lease_s / 4.0);
    let mut at = 0;
    loop {
        tokio::time::sleep(period).await;
        let (id, body) = {
            let session = lock(&now);
            if session.id.is_nil() {
                continue;
            }
            let held: Vec<Value> = session.held.iter().map(|(id, no)| json!({"id": id, "lease_no": no})).collect();
            (session.id, Body::Json(json!({ "jobs": held })))
        };
        let path = format!("/workers/{id}/heartbeat");
        for _ in 0..3 {
            match api.ask(at, Method::POST, &path, &body, period).await {
                Ok((200, answer)) => {
                    let stop = answer["stop"].as_array().into_iter().flatten();
                    let mut session = lock(&now);
                    // An answer may come after the session that it is about.
                    if session.id == id {
                        session.stopped.extend(stop.filter_map(|id| id.as_str().map(str::to_owned)));
                    }
                    break;
                }
                Ok((410, _)) => {
                    eprintln!("{} {id} was given up", clock(now_s()));
                    let mut session = lock(&now);
                    session.over |= session.id == id;
                    break;
                }
                failed => {
                    eprintln!("{} beat {}: {failed:?}", clock(now_s()), at % 3);
                    at += 1;
                }
            }
        }
    }
}

/// Notes what became of every item.
pub fn settle(ledger: &mut Ledger, now: &Mutex<Session>, session: Uuid, items: &Value, answer: &Value) {
    let answers = answer["items"].as_array().into_iter().flatten();
    for (item, said) in items.as_array().into_iter().flatten().zip(answers) {
        let (job, lease_no) = (item["id"].as_str(), item["lease_no"].as_i64());
        if let (Some(job), Some(lease_no)) = (job, lease_no) {
            let mut now = lock(now);
            if now.held.get(job) == Some(&lease_no) {
                now.held.remove(job);
            }
        }
        ledger.note(&Fact {
            what: "item",
            job,
            lease_no,
            session: Some(session),
            outcome: item["outcome"].as_str().or(Some("released")),
            status: said["status"].as_i64(),
            state: said["state"].as_str(),
            repeat: said["repeat"].as_bool(),
            nonce: item["result"]["fields"]["nonce"].as_str(),
            number: None,
        });
    }
}
