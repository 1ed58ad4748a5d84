//! The routes, and what each may cost.

use std::cell::Cell;
use std::time::Instant;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::meter::Meter;
use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::client::{Answer, Client};

/// The submission of all images.
pub const WHOLE: &str = "00000000-0000-4000-8009-000000000000";
/// One of a thousand.
const ONE: &str = "00000000-0000-4000-8001-000000000001";

/// What a call touched.
pub struct Cost {
    pub name: String,
    pub blocks: i64,
    /// What it may; nothing where it walks along all that it asks about, in bites, by its nature.
    pub bound: Option<i64>,
    pub ms: f64,
}

/// A statement that cannot prune looks into each of some forty months, and into several indexes of each.
const MONTHS: i64 = 600;
/// A row by its key: three or four levels of an index, and the block of the row.
const ROW: i64 = 5;
/// An image of a submission: its request, image, job, archived job, name.
const SHOWN_IMAGE: i64 = 4 * ROW;
/// A job of a list, with the other requests for it.
const SHOWN_JOB: i64 = 12 * ROW;
/// A page of a list, as it comes.
const PAGE: i64 = 100;
/// What is counted of a great submission again: the requests for a thousand images among which some live.
const BITE: i64 = 1_100 * 2 * ROW;
/// A page of jobs for which as many requests were looked at as may be, each of whose jobs is found by its key.
const LOOKED: i64 = 2_000 * 2 * ROW;
/// One for which as many jobs were: 20,000 that lie side by side.
const WALKED: i64 = 2_000;

/// Calls once to warm up what is remembered, and once to be measured; answers the second.
pub async fn call(meter: &Meter, name: &str, bound: Option<i64>, call: impl AsyncFn() -> Answer) -> (Cost, Value) {
    let began = Instant::now();
    call().await.ok(200);
    let first = began.elapsed();
    meter.reset().await;
    let began = Instant::now();
    let body = call().await.ok(200);
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    let blocks = meter.blocks().await;
    if bound.is_some_and(|bound| blocks > bound) {
        println!("{name}: {:#?}", meter.costliest().await);
    }
    if first.as_secs_f64() > 1.0 {
        println!("{name}: the first time {first:.1?}");
    }
    (Cost { name: name.to_owned(), blocks, bound, ms }, body)
}

struct Calls<'a> {
    meter: &'a Meter,
    costs: Vec<Cost>,
}

impl Calls<'_> {
    async fn get(&mut self, who: (&str, &Client), path: &str, bound: impl Into<Option<i64>>) -> Value {
        let name = format!("{} GET {}", who.0, path.replace(WHOLE, "(all)").replace(ONE, "(1,000)"));
        let name = name.split("cursor=").next().unwrap_or_default();
        let (cost, body) = call(self.meter, name, bound.into(), async || who.1.get(path).await).await;
        self.costs.push(cost);
        body
    }

    async fn post(&mut self, who: (&str, &Client), path: &str, body: &Value, bound: Option<i64>) {
        let told = body.to_string().replace(WHOLE, "(all)");
        let name = format!("{} POST {path} {}", who.0, told.get(..60).unwrap_or(&told));
        let (cost, _) = call(self.meter, &name, bound, async || who.1.post(path, body.clone()).await).await;
        self.costs.push(cost);
    }
}

fn md5_of(n: u32) -> String {
    hex::encode(Md5::digest(n.to_string().as_bytes()))
}

/// Calls every page and route that reads, and counts.
pub async fn measure(app: &TestApp, meter: &Meter, images: u32) -> Vec<Cost> {
    let log_in = async |name: &'static str| app.log_in(name, PASSWORD).await;
    let clients = [log_in("ines").await, log_in("mary").await, log_in("rosa").await, log_in("root").await];
    let [ines, mary, rosa, root] = &clients;
    let (ines, mary, rosa, root) = (("ines", ines), ("mary", mary), ("rosa", rosa), ("root", root));
    let newest = md5_of(images - 3);
    let mut calls = Calls { meter, costs: Vec::new() };
    submissions(&mut calls, [ines, mary, root]).await;
    jobs(&mut calls, [ines, mary, rosa, root], &newest).await;
    for who in [ines, root] {
        let first = calls.get(who, "/images", PAGE * 2 * ROW).await;
        let next = first["next_cursor"].as_str().expect("more images");
        calls.get(who, &format!("/images?cursor={next}"), PAGE * 2 * ROW).await;
        // The requests for an image are found by block ranges, some of which hold others.
        calls.get(who, &format!("/images/{newest}"), PAGE * ROW).await;
        // Of another image each time: what was looked up is mirrored.
        let (of, name) = (Cell::new(images - 3), format!("{} GET /predict/(md5)", who.0));
        let look_up = async || who.1.get(&format!("/predict/{}", md5_of(of.replace(of.get() - 1)))).await;
        calls.costs.push(call(meter, &name, Some(10 * ROW), look_up).await.0);
    }
    calls.get(mary, "/images", 10 * ROW).await;
    // A thousand images are counted of each case, by their keys, which lie side by side.
    for who in [ines, root] {
        calls.get(who, "/cases", PAGE * ROW).await;
    }
    let from = Cell::new(1);
    let look_up = async || {
        let from = from.replace(from.get() + 1000);
        let hashes: Vec<String> = (from..from + 1000).map(|n| md5_of(images - n)).collect();
        ines.1.post("/predict/status", json!({"images": hashes, "results": true})).await
    };
    calls.costs.push(call(meter, "ines POST /predict/status of 1,000", Some(1000 * 8 * ROW), look_up).await.0);
    // Up to ten thousand of a line are counted, and as many of what is for later.
    calls.get(ines, "/models", 25_000).await;
    calls.get(ines, "/models/deep", 25_000).await;
    calls.get(ines, "/workers", 10 * ROW).await;
    for path in ["/queues", "/metrics"] {
        calls.get(root, path, None).await;
    }
    calls.costs
}

async fn submissions(calls: &mut Calls<'_>, [ines, mary, root]: [(&str, &Client); 3]) {
    // A list shows a thousand images in all.
    for who in [ines, mary, root] {
        calls.get(who, "/submissions", 1000 * SHOWN_IMAGE + BITE).await;
    }
    calls.get(ines, "/submissions?limit=500", 1000 * SHOWN_IMAGE + BITE).await;
    calls.get(ines, &format!("/submissions/{ONE}"), 1000 * SHOWN_IMAGE).await;
    let first = calls.get(mary, &format!("/submissions/{WHOLE}"), 1000 * SHOWN_IMAGE + BITE).await;
    let next = first["next_cursor"].as_str().expect("more images");
    calls.get(mary, &format!("/submissions/{WHOLE}?cursor={next}"), 1000 * SHOWN_IMAGE + BITE).await;
    calls.get(mary, &format!("/submissions/{WHOLE}?limit=1"), BITE).await;
    calls.get(mary, &format!("/submissions/{WHOLE}?limit=1&wait_s=2"), 2 * BITE).await;
}

async fn jobs(calls: &mut Calls<'_>, [ines, mary, rosa, root]: [(&str, &Client); 4], newest: &str) {
    let page = PAGE * SHOWN_JOB + MONTHS;
    for who in [ines, mary, root] {
        calls.get(who, "/jobs", page).await;
    }
    calls.get(rosa, "/jobs", page + WALKED).await;
    for filter in
        ["state=failed", "state=queued", "state=succeeded", "model=rare", "model=deep", "model=ocr&state=failed"]
    {
        calls.get(ines, &format!("/jobs?{filter}"), page + LOOKED).await;
        calls.get(root, &format!("/jobs?{filter}"), page + WALKED).await;
    }
    calls.get(rosa, "/jobs?model=rare&state=failed", page).await;
    for who in [ines, root] {
        calls.get(who, &format!("/jobs?md5={newest}"), page).await;
        calls.get(who, &format!("/jobs?submission={ONE}"), page).await;
    }
    calls.get(root, &format!("/jobs?submission={WHOLE}"), page).await;
    calls.get(root, &format!("/jobs?submission={WHOLE}&state=failed"), page + LOOKED).await;
    let jobs = calls.get(root, "/jobs?state=failed&limit=1", page).await;
    let job = format!("/jobs/{}", jobs["items"][0]["id"].as_str().expect("a job that failed"));
    calls.get(root, &job, MONTHS).await;
    calls.get(ines, &job, MONTHS).await;
    for filter in [
        json!({"state": "failed"}),
        json!({"state": "failed", "model": "ocr"}),
        json!({"state": "cancelled", "model": "rare"}),
    ] {
        calls.post(root, "/jobs/redrive", &filter, Some(1000 * SHOWN_JOB + MONTHS)).await;
    }
    let whole = json!({"state": "failed", "submission": WHOLE});
    calls.post(root, "/jobs/redrive", &whole, Some(3 * (LOOKED + LOOKED / 2) + page)).await;
}
