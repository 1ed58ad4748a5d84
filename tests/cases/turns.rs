//! Who changes a case while another does: they take turns, and no limit is passed by both.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

use super::{Harbour, to_case};
use crate::kit::app::until;
use crate::kit::client::Answer;
use crate::kit::images::{md5_of, photo};
use crate::races::{beside, until_blocked};

impl Harbour {
    /// The editor asks for something, beside whoever else does.
    fn ask(&self, method: &str, path: &str, body: Value) -> JoinHandle<Answer> {
        let (editor, method, path) = (self.editor.clone(), method.parse().expect("a method"), self.path(path));
        tokio::spawn(async move { editor.call(method, &path, Some(body)).await })
    }

    fn tag(&self, n: u64, add: &[&str], remove: &[&str]) -> JoinHandle<Answer> {
        self.ask("POST", "/tags", json!({"images": [md5_of(&photo(n))], "add": add, "remove": remove}))
    }
}

/// Waits until another waits for a lock besides, or is answered.
async fn until_two(h: &Harbour, second: &JoinHandle<Answer>) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the second", async || second.is_finished() || h.app.count(waiting).await == 2).await;
}

/// Whoever gives the first image this tag waits for who does so here, and then has it.
const TAG_THERE: &str = "INSERT INTO tag (case_id, image_id, tag, account_id)
    SELECT case_id, image_id, '0', account_id FROM upload ORDER BY image_id LIMIT 1";
const FILTER_THERE: &str = "INSERT INTO saved_filter (case_id, name, filter, account_id)
    SELECT case_id, '0', 'x', account_id FROM upload LIMIT 1";

#[tokio::test]
async fn two_who_come_at_once_do_not_pass_a_limit_together() {
    let h = Harbour::new().await;
    for n in [2, 3] {
        h.editor.upload(to_case(&h.case, n)).await.ok(202);
    }
    // One more may be: of the filters of the case, of its tags, and of the tags of the first image.
    h.app
        .alter(
            "INSERT INTO saved_filter (case_id, name, filter, account_id)
               SELECT case_id, 'f' || n, 'x', account_id FROM (SELECT * FROM upload LIMIT 1) AS u, generate_series(1, 99) AS n;
             INSERT INTO tag (case_id, image_id, tag, account_id)
               SELECT case_id, image_id, 't' || n, account_id FROM (SELECT * FROM upload ORDER BY image_id DESC LIMIT 1) AS u, generate_series(1, 499) AS n;
             INSERT INTO tag (case_id, image_id, tag, account_id)
               SELECT case_id, image_id, 't' || n, account_id FROM (SELECT * FROM upload ORDER BY image_id LIMIT 1) AS u, generate_series(1, 49) AS n",
        )
        .await;
    let filter = |name: &str| h.ask("PUT", &format!("/filters/{name}"), json!({"filter": "tag:x"}));
    let (mut rival, mut wrong) = (beside(&h.app).await, Vec::new());
    for (what, held, back) in [
        ("filters", FILTER_THERE, "DELETE FROM saved_filter WHERE name IN ('0', '1')"),
        ("tags", TAG_THERE, "DELETE FROM tag WHERE tag IN ('0', '1')"),
        ("tags of an image", TAG_THERE, "SELECT 1"),
    ] {
        let mut tx = rival.begin().await.expect("a transaction");
        sqlx::raw_sql(held).execute(&mut *tx).await.expect("a row");
        let first = if what == "filters" { filter("0") } else { h.tag(1, &["0"], &[]) };
        until_blocked(&h.app).await;
        let second = match what {
            "filters" => filter("1"),
            "tags" => h.tag(2, &["1"], &[]),
            // Which the case has.
            _ => h.tag(1, &["t60"], &[]),
        };
        until_two(&h, &second).await;
        tx.rollback().await.expect("the end");
        let [first, second] = [first.await.expect("an answer"), second.await.expect("an answer")];
        let refused =
            if what == "tags of an image" { second.json()["items"][0]["problem"].clone() } else { second.json() };
        if !first.status.is_success() || refused["code"] != "case_full" {
            wrong.push(format!("{what}: {} {}, {} {}", first.status, first.json(), second.status, second.json()));
        }
        h.app.alter(back).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is taken by the same request makes room.
    h.app.alter("DELETE FROM tag WHERE image_id = (SELECT min(image_id) FROM upload) AND tag <> '0'").await;
    assert_eq!(h.app.count("SELECT count(DISTINCT tag) FROM tag").await, 500);
    h.tag(1, &["1"], &["0"]).await.expect("an answer").ok(200);
    h.tag(1, &["2"], &[]).await.expect("an answer").problem(409, "case_full");
}

#[tokio::test]
async fn opposite_changes_of_the_tags_of_an_image_do_not_stand_in_each_others_way() {
    let h = Harbour::new().await;
    h.tag(1, &["a", "b"], &[]).await.expect("an answer").ok(200);
    let mut rival: PgConnection = beside(&h.app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::raw_sql(TAG_THERE).execute(&mut *tx).await.expect("a row");
    // It has taken the one away, and is about to give the other, which the second has taken away.
    let first = h.tag(1, &["0", "a"], &["b"]);
    until_blocked(&h.app).await;
    let second = h.tag(1, &["b"], &["a"]);
    until_two(&h, &second).await;
    tx.rollback().await.expect("the end");
    for (asked, tags) in [(first, json!(["0", "a"])), (second, json!(["0", "b"]))] {
        assert_eq!(asked.await.expect("an answer").ok(200)["items"][0]["tags"], tags);
    }
}

#[tokio::test]
async fn nobody_fills_the_cases_of_another() {
    let h = Harbour::new().await;
    h.app
        .alter(
            "WITH made AS (INSERT INTO casefile (name) SELECT 'c' || n FROM generate_series(1, 51) AS n RETURNING id, name)
             INSERT INTO member (case_id, account_id, role, added_by)
               SELECT made.id, a.id, 'owner', a.id FROM made, account AS a WHERE a.name = 'olga'
               UNION ALL SELECT made.id, a.id, 'viewer', b.id FROM made, account AS a, account AS b
               WHERE made.name NOT IN ('c1', 'c2') AND a.name = 'ivo' AND b.name = 'olga'",
        )
        .await;
    let case = async |name: &'static str| -> String {
        let id = sqlx::query_scalar::<_, String>("SELECT id::text FROM casefile WHERE name = $1").bind(name);
        format!("/cases/{}/members/", id.fetch_one(&h.app.outside).await.expect("a case"))
    };
    let viewer = json!({"role": "viewer"});
    let (one, two) = (case("c1").await, case("c2").await);
    h.owner.put(&format!("{one}ivo"), viewer.clone()).await.ok(200);
    h.owner.put(&format!("{two}ivo"), viewer.clone()).await.problem(409, "too_many_cases");
    // Whoever gives them another role has not made them one.
    h.owner.put(&format!("{one}ed"), json!({"role": "owner"})).await.ok(200);
    h.editor.put(&format!("{one}ivo"), json!({"role": "editor"})).await.ok(200);
    h.owner.put(&format!("{two}ivo"), viewer.clone()).await.problem(409, "too_many_cases");
    // Others still may, and they themselves, and administrators; and whoever leaves makes room.
    h.owner.put(&format!("{two}ed"), json!({"role": "owner"})).await.ok(200);
    h.editor.put(&format!("{two}ivo"), viewer.clone()).await.ok(200);
    h.stranger.post("/cases", json!({"name": "Mine"})).await.ok(201);
    h.stranger.delete(&format!("{two}ivo")).await.ok(204);
    h.admin.put(&format!("{two}ivo"), viewer.clone()).await.ok(200);
    h.stranger.delete(&format!("{two}ivo")).await.ok(204);
    h.stranger.delete(&format!("{one}ivo")).await.ok(204);
    h.owner.put(&format!("{two}ivo"), viewer).await.ok(200);
}
