//! Who did what to whom, as administrators find it.

use darkroom::domain::account::Role;
use serde_json::{Value, json};

use crate::kit::app::TestApp;
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};

/// What fits, page after page, and how many pages that were.
async fn found(who: &Client, query: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = who.get(&format!("/search/audit?limit={limit}{query}{cursor}")).await.ok(200).clone();
        let got = page["items"].as_array().expect("items");
        assert!(got.len() <= limit);
        items.extend(got.iter().cloned());
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, pages),
        }
    }
}

/// The codes of what fits, newest first, each with who acted and upon whom.
async fn told(who: &Client, query: &str) -> Vec<String> {
    let word = |act: &Value, name: &str| act[name].as_str().unwrap_or("-").to_owned();
    let (items, _) = found(who, query, 2).await;
    items.iter().map(|a| format!("{} {} {}", word(a, "code"), word(a, "account"), word(a, "subject"))).collect()
}

#[tokio::test]
async fn acts_are_found_by_who_did_what_to_whom_and_when() {
    let app = TestApp::new().await;
    let (admin, ines) = (app.admin().await, app.investigator("ines").await);
    app.user("ivo", &[]).await;
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let key = rosa.post("/auth/key", json!({"service": "predict", "models": ["ocr"]})).await.ok(201).clone();
    let worker = app.worker("ocr").await;
    let case = ines.post("/cases", json!({"name": "Harbour 'x' \u{1f600}"})).await.ok(201)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    ines.put(&format!("/cases/{case}/members/ivo"), json!({"role": "viewer"})).await;
    ines.delete(&format!("/cases/{case}/members/ivo")).await;
    let sent = ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let md5 = md5_of(&photo(1));
    ines.get(&format!("/images/{md5}/content")).await;
    app.ctx.acts.write().await.expect("to be written");
    ines.post(&format!("/submissions/{}/cancel", sent["submission"].as_str().expect("an id")), Value::Null)
        .await
        .ok(200);
    admin.patch(&format!("/workers/{}", worker.id), json!({"draining": true})).await.ok(200);
    admin.patch("/models/ocr", json!({"paused": true})).await.ok(200);

    assert_eq!(
        told(&admin, "&code=member_set,member_removed").await,
        ["member_removed ines Harbour 'x' \u{1f600}", "member_set ines Harbour 'x' \u{1f600}"]
    );
    let of_ivo = found(&admin, "&subject=ivo", 1).await.0;
    let reasons: Vec<&str> = of_ivo.iter().filter_map(|act| act["reason"].as_str()).collect();
    assert!(reasons.starts_with(&["ivo", "ivo viewer"]), "{reasons:?}");
    assert_eq!(told(&admin, &format!("&subject={md5}")).await, [format!("image_viewed ines {md5}")]);
    assert_eq!(told(&admin, "&account=root").await[..2], ["model_changed root -", "worker_changed root -"]);
    assert_eq!(told(&admin, "&account=root&model=ocr&code=model_changed").await.len(), 1);
    let cancelled = found(&admin, "&account=ines&code=withdrawn", 5).await.0;
    assert_eq!((cancelled.len(), &cancelled[0]["submission"]), (1, &sent["submission"]));
    let key = key["id"].as_str().expect("an id");
    let codes = "&code=key_created,worker_registered,case_made";
    for (id, act) in [(key, "key_created"), (&worker.id, "worker_registered"), (&case, "case_made")] {
        for id in [id.to_owned(), id.to_uppercase()] {
            let told = told(&admin, &format!("&subject={id}{codes}")).await;
            assert!(told.len() == 1 && told[0].starts_with(act), "{id}: {told:?}");
        }
    }
    for nothing in [
        "&account=nobody",
        "&subject=nothing",
        "&model=nothing",
        "&code=,",
        "&code=%27",
        "&before=1970-01-01T00:00:00Z",
        "&before=-4800-01-01T00:00:00Z",
        "&after=%2B200000-01-01T00:00:00Z",
    ] {
        assert_eq!(told(&admin, nothing).await, Vec::<String>::new(), "{nothing}");
    }
    let all = found(&admin, "", 500).await.0;
    assert_eq!(found(&admin, "", 1).await.0, all, "in pages as in one");
    let middle = &all[all.len() / 2]["at"].as_str().expect("an instant").replace('+', "%2B");
    let (before, after) =
        (found(&admin, &format!("&before={middle}"), 3).await.0, found(&admin, &format!("&after={middle}"), 3).await.0);
    assert_eq!([after, before].concat(), all);
    for (wrong, code) in [
        ("limit=0", "invalid_field"),
        ("after=yesterday", "invalid_field"),
        ("cursor=x", "invalid_field"),
        ("kind=x", "unknown_field"),
        ("account=%00", "nul_character"),
    ] {
        let said = admin.get(&format!("/search/audit?{wrong}")).await;
        assert_eq!((said.status.as_u16(), said.json()["code"].as_str()), (422, Some(code)), "{wrong}");
    }
    rosa.get("/search/audit").await.problem(403, "missing_role");
}

#[tokio::test]
async fn what_one_page_looks_at_is_bounded_and_nothing_is_lost_or_told_twice() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    // Half of them of one instant, and among a hundred thousand what jobs did by themselves.
    app.alter(
        "INSERT INTO job_event (at, code, subject_id)
           SELECT timestamptz '2026-01-01' + interval '1 s' * greatest(0, n - 15000), 'image_viewed', n::text FROM generate_series(1, 30000) AS n;
         INSERT INTO job_event (at, code, job_id) SELECT timestamptz '2026-01-01' + interval '1 s' * n, 'requeued', gen_random_uuid() FROM generate_series(1, 100000) AS n;
         INSERT INTO job_event (at, code, subject_id) VALUES (timestamptz '2025-12-31', 'user_changed', 'rare');
         ANALYZE job_event",
    )
    .await;
    let (rare, pages) = found(&admin, "&code=user_changed", 10).await;
    assert_eq!((rare.len(), pages), (1, 2), "the first page ends where as many were looked at as may be");
    let (views, pages) = found(&admin, "&code=image_viewed", 500).await;
    let ids: std::collections::HashSet<&str> = views.iter().filter_map(|act| act["subject_id"].as_str()).collect();
    assert_eq!((views.len(), ids.len()), (30_000, 30_000));
    assert!(pages <= 62, "{pages}");
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT at, ctid FROM job_event WHERE (job_id IS NULL OR (account_id IS NOT NULL AND code <> 'attached'))
         AND at <= coalesce(NULL, timestamptz 'infinity') ORDER BY at DESC, ctid DESC LIMIT 100",
    )
    .fetch_all(&app.outside)
    .await
    .expect("a plan");
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan Backward") && !plan.contains("Seq Scan"), "{plan}");
}
