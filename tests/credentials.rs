//! Log-in and log-out, and when a token or key stops to open doors.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use darkroom::domain::account::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, Worker, until};
use crate::kit::client::{Answer, Client};
use crate::kit::images::{md5_of, photo};

/// A log-in from an address, with what a proxy may have said of another.
async fn log_in_from(app: &TestApp, address: &str, forwarded: Option<&str>, name: &str, password: &str) -> Answer {
    let body = serde_urlencoded::to_string([("username", name), ("password", password)]).expect("a form");
    let mut request = Request::post("/auth/login").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::from(body)).expect("a request");
    let peer = SocketAddr::new(address.parse().expect("an address"), 40_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    app.nobody().send(request).await
}

fn wait_s(answer: &Answer) -> u32 {
    answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds")
}

/// Eight wrong passwords at once, for these names in turn; all are looked at.
async fn guess(app: &TestApp, from: &str, forwarded: Option<&str>, names: &[&str]) {
    let names = names.iter().cycle().take(8);
    for answer in join_all(names.map(|name| log_in_from(app, from, forwarded, name, "wrong password"))).await {
        answer.problem(401, "wrong_password");
    }
}

#[tokio::test]
async fn guessing_slows_the_guesser_and_locks_nobody_out() {
    let app = TestApp::new().await;
    app.investigator("ines").await;
    guess(&app, "2001:db8::1", None, &["ines"]).await;
    guess(&app, "2001:db8::2", None, &["ines"]).await;
    // From the same network whatever is sent now, right or wrong, is not looked at.
    let slowed = log_in_from(&app, "2001:db8::3", None, "ines", PASSWORD).await;
    assert!(wait_s(&slowed) > 600, "{slowed:?}");
    slowed.problem(429, "too_many_logins");
    log_in_from(&app, "2001:db8:0:1::1", None, "ines", PASSWORD).await.ok(200);
    // One guess for each of many names is guessing, too.
    let names: Vec<String> = (0..24).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for names in names.chunks(8) {
        guess(&app, "192.0.2.9", None, names).await;
    }
    log_in_from(&app, "192.0.2.9", None, "another", "wrong password").await.problem(429, "too_many_logins");
    log_in_from(&app, "192.0.2.10", None, "another", "wrong password").await.problem(401, "wrong_password");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_asks() {
    let app = TestApp::with(|s| s.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")]).await;
    app.investigator("ines").await;
    guess(&app, "192.0.2.1", Some("198.51.100.1"), &["ines"]).await;
    guess(&app, "192.0.2.1", Some("198.51.100.2"), &["ines"]).await;
    let liar = log_in_from(&app, "192.0.2.1", Some("198.51.100.99"), "ines", PASSWORD).await;
    liar.problem(429, "too_many_logins");
    log_in_from(&app, "10.1.1.1", Some("198.51.100.99"), "ines", PASSWORD).await.ok(200);
    log_in_from(&app, "10.1.1.1", Some("192.0.2.1"), "ines", PASSWORD).await.problem(429, "too_many_logins");
}

#[tokio::test]
async fn who_logs_out_is_out_on_every_replica() {
    let app = TestApp::new().await;
    let replica = app.replica().await;
    let first = app.investigator("ines").await;
    let (second, third) = (app.log_in("ines", PASSWORD).await, app.log_in("ines", PASSWORD).await);
    let there = |client: &Client| Client::new(replica.router.clone(), client.token.clone());
    for client in [&first, &second, &third] {
        there(client).get("/auth/profile").await.ok(200);
    }
    first.call(axum::http::Method::POST, "/auth/logout", None).await.ok(204);
    first.get("/auth/profile").await.problem(401, "expired_credential");
    second.get("/auth/profile").await.ok(200);
    until("the other replica to know", async || there(&first).get("/auth/profile").await.status.as_u16() == 401).await;
    there(&second).get("/auth/profile").await.ok(200);
    second.call(axum::http::Method::POST, "/auth/logout?everywhere=true", None).await.ok(204);
    for client in [&second, &third] {
        client.get("/auth/profile").await.problem(401, "expired_credential");
    }
    app.log_in("ines", PASSWORD).await.get("/auth/profile").await.ok(200);
}

#[tokio::test]
async fn many_ended_tokens_end_all_of_them() {
    let app = TestApp::new().await;
    let (ines, other) = (app.investigator("ines").await, app.log_in("ines", PASSWORD).await);
    app.alter(
        "INSERT INTO ended_token SELECT a.id, gen_random_uuid(), now() + interval '1 hour'
         FROM account AS a, generate_series(1, 100) WHERE name = 'ines'",
    )
    .await;
    ines.call(axum::http::Method::POST, "/auth/logout", None).await.ok(204);
    other.get("/auth/profile").await.problem(401, "expired_credential");
    assert_eq!(app.count("SELECT count(*) FROM ended_token").await, 0);
    app.alter("INSERT INTO ended_token SELECT id, gen_random_uuid(), now() FROM account").await;
    darkroom::maintenance::make_partitions(&app.ctx).await.expect("housekeeping");
    assert_eq!(app.count("SELECT count(*) FROM ended_token").await, 0, "what has expired is forgotten");
}

#[tokio::test]
async fn a_stolen_token_is_not_worth_an_account() {
    let app = TestApp::new().await;
    let (ines, admin) = (app.investigator("ines").await, app.admin().await);
    let change = |present: Value| json!({"password": "another password", "present_password": present});
    for present in [Value::Null, json!("wrong password")] {
        let refused = ines.patch("/auth/users/ines", change(present)).await.problem(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], "/present_password");
    }
    admin.patch("/auth/users/root", change(Value::Null)).await.problem(422, "invalid_field");
    for _ in 0..2 {
        let guesses = (0..8).map(|_| ines.patch("/auth/users/ines", change(json!("wrong password"))));
        for refused in join_all(guesses).await {
            refused.problem(422, "invalid_field");
        }
    }
    ines.patch("/auth/users/ines", change(json!(PASSWORD))).await.problem(429, "too_many_logins");
    admin.patch("/auth/users/ines", json!({"password": "another password"})).await.ok(200);
    ines.get("/auth/profile").await.problem(401, "expired_credential");
}

#[tokio::test]
async fn a_key_holds_as_long_as_its_owner_may_hold_one() {
    let app = TestApp::new().await;
    let (rosa, admin) = (app.user("rosa", &[Role::Researcher]).await, app.admin().await);
    let own = app.key_of(&rosa, "predict", &["ocr"]).await;
    let trusted = admin.post("/auth/key", json!({"service": "predict", "models": ["ocr"], "owner": "rosa"})).await;
    let trusted = Client::new(app.router.clone(), trusted.ok(201)["key"].as_str().map(str::to_owned));
    let worker = Worker::register(own.clone(), "ocr", "v1").await;
    let register = async |key: &Client| {
        let body = json!({"service": "predict", "model": "ocr", "version": "1", "instance": Uuid::new_v4()});
        key.post("/workers/register", body).await
    };
    let turned = async |key: &Client, status: u16| {
        until("the key to follow its owner", async || register(key).await.status.as_u16() == status).await;
    };
    for roles in [json!([]), json!(["investigator"])] {
        admin.patch("/auth/users/rosa", json!({"roles": roles})).await.ok(200);
        turned(&own, 401).await;
        register(&own).await.problem(401, "disabled_credential");
        let body = json!({"worker": worker.id, "claim_id": Uuid::new_v4()});
        own.post("/jobs/claim", body).await.problem(401, "disabled_credential");
        register(&trusted).await.ok(201);
    }
    admin.patch("/auth/users/rosa", json!({"roles": ["researcher"]})).await.ok(200);
    turned(&own, 201).await;
    admin.patch("/auth/users/rosa", json!({"disabled": true})).await.ok(200);
    turned(&own, 401).await;
    turned(&trusted, 401).await;
}

#[tokio::test]
async fn all_keys_of_a_user_go_at_once() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (app.user("rosa", &[Role::Researcher]).await, app.user("rolf", &[Role::Researcher]).await);
    let (first, second) = (app.key_of(&rosa, "predict", &["a"]).await, app.key_of(&rosa, "predict", &["b"]).await);
    let other = app.key_of(&rolf, "predict", &["c"]).await;
    for (key, model) in [(&first, "a"), (&second, "b"), (&other, "c")] {
        Worker::register(key.clone(), model, "v1").await;
    }
    assert_eq!(rosa.delete("/auth/key").await.ok(200)["disabled"], 2);
    assert_eq!(rosa.delete("/auth/key").await.ok(200)["disabled"], 0);
    let claim = json!({"worker": Uuid::new_v4(), "claim_id": Uuid::new_v4()});
    for key in [&first, &second] {
        key.post("/jobs/claim", claim.clone()).await.problem(401, "disabled_credential");
    }
    other.post("/jobs/claim", claim).await.problem(410, "unknown_worker");
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code = 'key_disabled'").await, 2);
}

#[tokio::test]
async fn what_was_waited_for_is_not_handed_to_one_shut_out_meanwhile() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (admin, boss) = (app.admin().await, app.user("boss", &[Role::Admin]).await);
    let names = ["ines", "ivo", "ida"];
    for (n, name) in names.into_iter().enumerate() {
        let user = app.investigator(name).await;
        let answer = user.submit(&[("a.png", photo(n as u64))], &["ocr"]).await;
        let submission = answer["submission"].as_str().expect("an id").to_owned();
        user.get("/auth/profile").await.ok(200);
        let path =
            [format!("/predict/{}?wait_s=1", md5_of(&photo(n as u64))), format!("/submissions/{submission}?wait_s=1")];
        let path = &path[n % 2];
        let disable = async {
            let change = if n < 2 { json!({"disabled": true}) } else { json!({"password": "another password"}) };
            admin.patch(&format!("/auth/users/{name}"), change).await.ok(200);
        };
        let code = if n < 2 { "disabled_credential" } else { "expired_credential" };
        tokio::join!(user.get(path), disable).0.problem(401, code);
        boss.get("/auth/profile").await.ok(200);
        if n == 2 {
            let demote = async { admin.patch("/auth/users/boss", json!({"roles": []})).await.ok(200) };
            tokio::join!(boss.get(path), demote).0.problem(404, "not_found");
        }
    }
    // A claim that waits is given nothing once its key is disabled, and the job waits for others.
    for job in worker.claim(8).await {
        worker.succeed(&job).await;
    }
    let other = Worker::register(app.key_of(&admin, "predict", &["ocr"]).await, "ocr", "v1").await;
    let held = json!({"worker": worker.id, "claim_id": Uuid::new_v4(), "wait_s": 30});
    let shut_out = async {
        until("the claim to wait", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
        app.alter(
            "UPDATE api_key SET disabled_at = now() WHERE id = (SELECT key_id FROM worker_session ORDER BY id LIMIT 1)",
        )
        .await;
        let known =
            async || worker.key.post("/jobs/claim", json!({"worker": worker.id, "claim_id": Uuid::new_v4()})).await;
        until("the key to be known as disabled", async || known().await.status.as_u16() == 401).await;
        let ina = app.investigator("ina").await;
        ina.submit(&[("z.png", photo(9))], &["ocr"]).await;
    };
    tokio::join!(worker.key.post("/jobs/claim", held), shut_out).0.problem(401, "disabled_credential");
    assert_eq!(app.count("SELECT count(*) FROM job WHERE lease_no > 0").await, 0, "nobody got it");
    assert_eq!(other.claim(8).await.len(), 1);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_known_to_the_minute() {
    let app = TestApp::new().await;
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let key = app.key_of(&rosa, "predict", &["ocr"]).await;
    let worker = Worker::register(key, "ocr", "v1").await;
    app.key_of(&rosa, "predict", &["ocr"]).await;
    app.ctx.acts.write().await.expect("housekeeping");
    let idle = "SELECT count(*) FROM api_key WHERE coalesce(last_used_at, created_at) < now() - interval '90 days'";
    app.alter("UPDATE api_key SET created_at = now() - interval '1 year', last_used_at = now() - interval '1 year'")
        .await;
    assert_eq!(app.count(idle).await, 2);
    worker.claim(1).await;
    app.ctx.acts.write().await.expect("housekeeping");
    assert_eq!(app.count(idle).await, 1, "a key that works is not idle");
    app.alter("UPDATE api_key SET last_used_at = NULL").await;
    let guess = format!("{}x", &worker.key.token.clone().expect("a key")[..79]);
    Client::new(app.router.clone(), Some(guess)).get("/auth/profile").await.problem(401, "unknown_credential");
    app.ctx.acts.write().await.expect("housekeeping");
    assert_eq!(app.count("SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL").await, 0, "a guess is no use");
}
