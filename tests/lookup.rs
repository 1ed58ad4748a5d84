//! What happened to an image.

use std::sync::Arc;

use darkroom::dev::Redis;
use darkroom::service::{Ctx, announce};
use redis::aio::MultiplexedConnection;
use serde_json::json;

use crate::kit::app::{TestApp, until};
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use crate::kit::scratch;
use crate::work::submit;

/// What Redis holds of the first photo, as somebody sees and alters who looks by hand.
pub struct Mirror {
    redis: MultiplexedConnection,
    prefix: String,
    epoch: String,
}

impl Mirror {
    pub async fn of(app: &TestApp) -> Self {
        Self::of_image(app, &md5_of(&photo(1))).await
    }

    /// Of another image.
    pub async fn of_image(app: &TestApp, md5: &str) -> Self {
        let client = redis::Client::open(app.settings.redis_url.0.as_str()).expect("a client");
        let redis = client.get_multiplexed_async_connection().await.expect("a connection");
        let prefix = format!("{{{}:{md5}}}", app.settings.namespace);
        Self { redis, prefix, epoch: app.ctx.index.epoch().expect("an epoch").to_string() }
    }

    fn key(&self, kind: &str) -> String {
        format!("{}:{kind}:{}", self.prefix, self.epoch)
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &str, kind: &str) -> T {
        let asked = redis::cmd(command).arg(self.key(kind)).query_async(&mut self.redis.clone()).await;
        asked.expect("an answer of Redis")
    }

    pub async fn exists(&self, kind: &str) -> bool {
        self.ask("EXISTS", kind).await
    }

    /// How long a key lives, in seconds.
    pub async fn life(&self, kind: &str) -> i64 {
        self.ask("TTL", kind).await
    }

    /// As if its time had passed.
    pub async fn expire(&self, kind: &str) {
        self.ask::<()>("DEL", kind).await;
    }

    /// How often a command was called, by whomever.
    async fn calls(&self, command: &str) -> usize {
        let mut info = redis::cmd("INFO");
        let told: String = info.arg("commandstats").query_async(&mut self.redis.clone()).await.expect("figures");
        let calls = |line: &str| {
            line.strip_prefix("cmdstat_")?
                .strip_prefix(command)?
                .strip_prefix(":calls=")?
                .split(',')
                .next()?
                .parse()
                .ok()
        };
        told.lines().find_map(calls).unwrap_or(0)
    }

    /// How much its Redis was sent.
    async fn bytes_received(&self) -> usize {
        let told: String = redis::cmd("INFO").arg("stats").query_async(&mut self.redis.clone()).await.expect("figures");
        let bytes = told.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:")?.trim().parse().ok());
        bytes.expect("a figure")
    }

    /// Puts the token of another replica.
    async fn put_token(&self) {
        let mut put = redis::cmd("SET");
        put.arg(self.key("token")).arg("another").arg("EX").arg(60);
        put.query_async::<()>(&mut self.redis.clone()).await.expect("a token");
    }

    /// The value of a field of the status, under its seal.
    pub async fn field(&self, field: &str) -> Option<String> {
        let mut get = redis::cmd("HGET");
        get.arg(self.key("status")).arg(field);
        get.query_async(&mut self.redis.clone()).await.expect("an answer of Redis")
    }

    pub async fn put_field(&self, field: &str, value: &str) {
        let mut put = redis::cmd("HSET");
        put.arg(self.key("status")).arg(field).arg(value);
        put.query_async::<()>(&mut self.redis.clone()).await.expect("an answer of Redis");
    }

    async fn copy(&self) -> Vec<u8> {
        self.ask("DUMP", "status").await
    }

    async fn restore(&self, copy: &[u8]) {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(self.key("status")).arg(15_000).arg(copy);
        restore.query_async::<()>(&mut self.redis.clone()).await.expect("the copy");
    }
}

#[tokio::test]
async fn a_look_up_waits_for_the_end() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let path = format!("/predict/{}?wait_s=40", md5_of(&photo(1)));
    let job = worker.claim(1).await.remove(0);
    let (looked, _) = tokio::join!(ines.get(&path), worker.succeed(&job));
    assert_eq!(looked.headers["cache-control"], "no-store");
    assert_eq!(looked.ok(200)["done"], true);
    let at_once = ines.get(&format!("/predict/{}?wait_s=0", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(at_once["results"]["ocr"]["job"], job["id"]);
}

#[tokio::test]
async fn a_look_up_is_over_the_named_models() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.worker("face").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr", "face"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let all = ines.get(&path).await.ok(200);
    assert_eq!((&all["status"], &all["done"]), (&json!("running"), &json!(false)));
    let one = ines.get(&format!("{path}?models=ocr")).await.ok(200);
    assert_eq!((&one["status"], one["jobs"].as_object().map(|j| j.len())), (&json!("succeeded"), Some(1)));
}

#[tokio::test]
async fn many_hashes_are_answered_in_order_with_repeats() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let (known, unknown) = (md5_of(&photo(1)), md5_of(b"nothing"));
    let ask = json!({"images": [known, unknown, "xyz", known.to_uppercase()], "results": true});
    let items = ines.post("/predict/status", ask).await.ok(200)["items"].clone();
    assert_eq!((&items[0]["status"], &items[0]["problem"]), (&json!("succeeded"), &json!(null)));
    assert_eq!((&items[1]["status"], &items[1]["problem"]["code"]), (&json!(null), &json!("not_found")));
    assert_eq!(items[2]["problem"]["code"], "invalid_hash");
    assert_eq!((&items[3]["md5"], &items[3]["results"]), (&items[0]["md5"], &items[0]["results"]));
    let bare = ines.post("/predict/status", json!({"images": [known]})).await.ok(200);
    assert_eq!(bare["items"][0]["results"], json!({}));
}

#[tokio::test]
async fn the_mirror_follows_every_transition() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    let state = async || ines.get(&path).await.ok(200)["jobs"]["ocr"]["state"].clone();
    assert_eq!(state().await, "queued");
    let job = worker.claim(1).await.remove(0);
    assert_eq!(state().await, "running");
    worker.succeed(&job).await;
    assert_eq!(state().await, "succeeded");
    let rerun = Form::default().file("a.png", &photo(1)).text("models", "ocr").text("rerun", "true");
    ines.upload(rerun).await.ok(202);
    let again = ines.get(&path).await.ok(200);
    assert_eq!(
        (&again["status"], &again["results"]["ocr"]["job"]),
        (&json!("queued"), &job["id"]),
        "the newest success stays to be seen"
    );
}

#[tokio::test]
async fn a_ready_answer_is_what_would_be_put_together_and_only_for_the_entitled() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.worker("face").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    let (mirror, path) = (Mirror::of(&app).await, format!("/predict/{}", md5_of(&photo(1))));
    let put_together = ines.get(&path).await;
    let fields: Vec<String> = mirror.ask("HKEYS", "status").await;
    assert!(fields.contains(&"a:".to_owned()), "{fields:?}");
    let ready = ines.get(&path).await;
    assert_eq!(ready.bytes, put_together.bytes);
    for header in ["content-type", "cache-control"] {
        assert_eq!(ready.headers.get(header), put_together.headers.get(header));
    }
    assert_eq!(app.admin().await.get(&path).await.bytes, ready.bytes);
    app.investigator("otto").await.get(&path).await.problem(404, "not_found");
    // Of one model alone, or with a job that waits and says why, it is put together.
    assert_eq!(ines.get(&format!("{path}?models=ocr")).await.ok(200), ready.json());
    ines.submit(&[("a.png", photo(1))], &["face"]).await;
    assert_eq!(ines.get(&path).await.ok(200)["status"], "running");
    assert_eq!(ines.get(&path).await.ok(200)["status"], "running");
}

#[tokio::test]
async fn a_whole_answer_of_before_does_not_outlive_a_refill_over_it() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    app.worker("face").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    let (mirror, path) = (Mirror::of(&app).await, format!("/predict/{}", md5_of(&photo(1))));
    assert_eq!(ines.get(&path).await.ok(200)["done"], true);
    let before = mirror.field("a:").await.expect("a whole answer");
    ines.submit(&[("a.png", photo(1))], &["face"]).await;
    assert_eq!(ines.get(&path).await.ok(200)["done"], false);
    // As if the server had died between the COMMIT of that submission and the word of it to Redis.
    mirror.put_field("a:", &before).await;
    assert_eq!(ines.get(&path).await.ok(200)["done"], true, "what the mirror has ready is passed on");
    let otto = app.investigator("otto").await;
    otto.submit(&[("a.png", photo(1))], &["face"]).await;
    mirror.put_field("a:", &before).await;
    for client in [&otto, &otto, &ines] {
        assert_eq!(client.get(&path).await.ok(200)["done"], false);
    }
}

#[tokio::test]
async fn a_look_up_leaves_the_refill_of_another_alone() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let (mirror, path) = (Mirror::of(&app).await, format!("/predict/{}", md5_of(&photo(1))));
    mirror.put_token().await;
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
    assert_eq!((mirror.exists("status").await, mirror.exists("token").await), (false, true));
    mirror.expire("token").await;
    ines.get(&path).await.ok(200);
    assert_eq!((mirror.exists("status").await, mirror.exists("token").await), (true, false));
}

#[tokio::test]
async fn no_answer_goes_behind_an_earlier_one() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = submit(&app, 1).await;
    let (mirror, path) = (Mirror::of(&app).await, format!("/predict/{}", md5_of(&photo(1))));
    let state = async || ines.get(&path).await.ok(200)["status"].clone();
    assert_eq!(state().await, "queued");
    let before = mirror.copy().await;
    worker.claim(1).await.remove(0);
    mirror.put_token().await;
    assert_eq!(state().await, "running", "read from PostgreSQL, as another fills the mirror");
    // As if the claim had been another replica's, which has not told Redis yet.
    mirror.restore(&before).await;
    assert_eq!(state().await, "running");
}

#[tokio::test]
async fn a_replica_tells_others_of_ended_jobs_only_while_others_listen() {
    let redis = Redis::start(&scratch::make("telling-redis").expect("a folder"), true).await.expect("Redis");
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let mirror = Mirror::of(&app).await;
    let listen = async |ctx: Arc<Ctx>, listeners: u64| {
        tokio::spawn(async move { announce::listen(&ctx).await });
        until("all to listen", async || app.ctx.index.listeners().await == Some(listeners)).await;
        assert!(app.ctx.index.look_around().await);
    };
    listen(Arc::clone(&app.ctx), 1).await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    assert_eq!(mirror.calls("publish").await, 0);

    let other = app.replica().await;
    listen(Arc::clone(&other.ctx), 2).await;
    ines.submit(&[("b.png", photo(2))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    assert!(mirror.calls("publish").await > 0);
}

#[tokio::test]
async fn those_who_wait_for_an_image_share_their_looks() {
    const WAITING: usize = 40;
    // Each asks for a ready answer first, and then for the status.
    const AT_FIRST: usize = 2 * WAITING;
    let redis = Redis::start(&scratch::make("shared-redis").expect("a folder"), true).await.expect("Redis");
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    let workers = [app.worker("ocr").await, app.worker("face").await];
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr", "face"]).await;
    let mirror = Mirror::of(&app).await;
    let looks = async || mirror.calls("hmget").await;
    let wait = || {
        let (ines, path) = (ines.clone(), format!("/predict/{}?wait_s=40", md5_of(&photo(1))));
        tokio::spawn(async move { ines.get(&path).await.ok(200) })
    };
    let waiting: Vec<_> = (0..WAITING).map(|_| wait()).collect();
    until("everybody to look once", async || looks().await >= AT_FIRST).await;
    for worker in &workers {
        worker.succeed(&worker.claim(1).await[0]).await;
    }
    for waited in waiting {
        assert_eq!(waited.await.expect("an answer")["status"], "succeeded");
    }
    let more = looks().await - AT_FIRST;
    assert!(more < WAITING, "{more} looks more, of {WAITING} who were woken twice");
}

#[tokio::test]
async fn a_member_of_many_cases_asks_redis_for_no_more_than_others() {
    let redis = Redis::start(&scratch::make("asked-redis").expect("a folder"), true).await.expect("Redis");
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    app.worker("ocr").await;
    let [ines, otto] = [app.investigator("ines").await, app.investigator("otto").await];
    app.alter(
        "WITH made AS (INSERT INTO casefile (name) SELECT 'c' || n FROM generate_series(1, 199) AS n RETURNING id)
         INSERT INTO member (case_id, account_id, role) SELECT made.id, a.id, 'viewer' FROM made, account AS a WHERE a.name = 'otto'",
    )
    .await;
    until("him to be one", async || {
        otto.get("/cases?limit=500").await.ok(200)["items"].as_array().map(Vec::len) == Some(200)
    })
    .await;
    let mirror = Mirror::of(&app).await;
    let hashes: Vec<String> = (0..1_000).map(|n| md5_of(&[n as u8, (n >> 8) as u8])).collect();
    let mut asked = Vec::new();
    for who in [&ines, &otto] {
        let before = mirror.bytes_received().await;
        who.post("/predict/status", json!({"images": hashes})).await.ok(200);
        asked.push(mirror.bytes_received().await - before);
    }
    println!(
        "bytes that Redis is sent to look up a thousand images: for a member of one case {}, of 200 {}",
        asked[0], asked[1]
    );
    assert!(asked.iter().all(|bytes| *bytes > 50 * hashes.len()) && asked[1] < 2 * asked[0], "{asked:?}");
}

#[tokio::test]
async fn bytes_know_etag_and_range() {
    use axum::body::Body;
    use axum::http::Request;
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let a = photo(1);
    ines.submit(&[("a.png", a.clone())], &["ocr"]).await;
    let path = format!("/images/{}/content", md5_of(&a));
    let whole = ines.get(&path).await;
    let etag = whole.headers["etag"].to_str().expect("a tag").to_owned();
    assert_eq!(
        (whole.headers["content-type"].to_str().ok(), whole.headers["accept-ranges"].to_str().ok()),
        (Some("image/png"), Some("bytes"))
    );
    let with = async |name: &str, value: &str| {
        ines.send(Request::get(&path).header(name, value).body(Body::empty()).expect("a request")).await
    };
    let part = with("range", "bytes=1-3").await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &a[1..4]));
    assert_eq!(part.headers["content-range"], format!("bytes 1-3/{}", a.len()).as_str());
    assert_eq!(with("if-none-match", &etag).await.status.as_u16(), 304);
    let beyond = with("range", "bytes=999999-").await;
    beyond.problem(416, "range_not_satisfiable");
    assert_eq!(beyond.headers["content-range"], format!("bytes */{}", a.len()).as_str());
    let record = ines.get(&format!("/images/{}", md5_of(&a))).await.ok(200);
    assert_eq!((&record["width"], &record["height"], &record["frames"]), (&json!(40), &json!(30), &json!(1)));
}
