//! What each page and route costs on a small history and on one that grew: the blocks that PostgreSQL touches for it, which
//! are the same at every run. The suite grows it to thousands of images; `make old` to a million, within the same bounds.

mod meter;
mod past;
mod routes;
mod search;

use std::time::Instant;

use darkroom::config::Secret;
use darkroom::domain::account::Role;

use self::meter::Meter;
use self::routes::{Cost, measure};
use crate::kit::app::TestApp;

/// How many images there are at first.
const SMALL: u32 = 3_000;
/// How many then, where nobody says.
const LARGE: u32 = 12_000;
/// Ended jobs go after so many days: a third of what there is.
const KEEP_DAYS: u32 = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_page_costs_does_not_grow_with_history() {
    let large = std::env::var("OLD").ok().map_or(LARGE, |images| images.parse().expect("OLD is a number of images"));
    let meter = Meter::start().await.expect("a PostgreSQL that counts");
    let app = TestApp::with(|s| {
        s.database.database_url = Secret(meter.url());
        s.keep_jobs_days = Some(KEEP_DAYS);
    })
    .await;
    for (name, role) in
        [("root", Role::Admin), ("ines", Role::Investigator), ("mary", Role::Investigator), ("rosa", Role::Researcher)]
    {
        app.user(name, &[role]).await;
    }
    app.worker("ocr").await;
    app.alter(include_str!("fill.sql")).await;
    app.alter(include_str!("found.sql")).await;
    grow(&meter, 0, SMALL).await;
    let before = measured(&app, &meter, SMALL).await;
    grow(&meter, SMALL, large).await;
    let after = measured(&app, &meter, large).await;
    print(&before, &after);
    let key = meter.bare("SELECT md5 FROM image WHERE id = $1").await;
    let titles = "SELECT u.name, u.at, i.* FROM upload AS u JOIN image AS i ON i.id = u.image_id ORDER BY u.at DESC OFFSET $1 LIMIT 100";
    let titles = meter.bare(titles).await;
    println!(
        "a bare look-up by key: 3 blocks, {key:.2} ms; the newest hundred titles with their images: {titles:.2} ms"
    );
    let wrong: Vec<String> = before.iter().chain(&after).filter_map(Cost::is_wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    past::twenty_at_once(&meter).await;
    past::hints_of_ended_jobs_go(&app, large).await;
    past::a_great_redrive_goes_on_where_it_was(&app, large).await;
    past::answers_outlive_their_jobs(&app).await;
    past::a_great_submission_is_cancelled(&app, &meter).await;
}

async fn measured(app: &TestApp, meter: &Meter, images: u32) -> Vec<Cost> {
    let mut costs = measure(app, meter, images).await;
    costs.extend(search::measure(app, meter, images).await);
    costs
}

impl Cost {
    fn is_wrong(&self) -> Option<String> {
        let bound = self.bound.filter(|bound| self.blocks > *bound)?;
        Some(format!("{} touches {} blocks, and may touch {bound}", self.name, self.blocks))
    }
}

/// Adds to the history, and does what autovacuum does in time.
async fn grow(meter: &Meter, from: u32, to: u32) {
    let began = Instant::now();
    meter.execute(format!("SELECT grow_history({from}, {to})")).await;
    meter.execute(format!("SELECT grow_found({from}, {to})")).await;
    meter.execute("VACUUM ANALYZE".to_owned()).await;
    println!("{to} images and {} requests are there after {:.0?}", 6 * to, began.elapsed());
}

fn print(before: &[Cost], after: &[Cost]) {
    println!(
        "{:<76} {:>8} {:>8} {:>8} {:>8}",
        "blocks touched, and milliseconds where it is large", "small", "large", "bound", "ms"
    );
    for (before, Cost { name, blocks, bound, ms }) in before.iter().zip(after) {
        let bound = bound.map_or("-".to_owned(), |bound| bound.to_string());
        println!("{name:<76} {:>8} {blocks:>8} {bound:>8} {ms:>8.1}", before.blocks);
    }
}
