//! A submission as one HTML page that needs nothing else: no script, no network, no server.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use super::counts::Counts;
use super::outcome::{Outcome, PhotoJob};
use super::report_card::{card, state_class};
use super::report_embed::{Budget, PHOTOS_MAX};
use super::report_marks::Palette;
use super::report_style::CSS;
use super::report_text::{esc, prose, time};
use super::text;

/// Labels named per model in the overview.
const TOP_LABELS: usize = 8;
const STATES: [&str; 5] = ["succeeded", "failed", "cancelled", "running", "queued"];

/// Renders the page; reads the local files to embed them, at most 500 and 256 MiB together.
///
/// Blocking: call it from `spawn_blocking` where other tasks must go on. A photograph that cannot
/// be read is told of in its place.
pub fn render(outcome: &Outcome) -> String {
    let mut palette = Palette::default();
    let mut budget = Budget::new();
    let mut cards = String::new();
    for (index, photo) in outcome.photos.iter().enumerate() {
        card(&mut cards, index + 1, photo, &mut budget, &mut palette);
    }
    let mut page = String::with_capacity(cards.len() + CSS.len() + 8_192);
    head(&mut page, outcome);
    overview(&mut page, outcome);
    models(&mut page, outcome);
    rejected(&mut page, outcome);
    if budget.left_out > 0 {
        let _ = write!(
            page,
            "<p class=\"note\">{} without their picture: a page holds {PHOTOS_MAX} of them, and 256 MiB. \
             Their results are all here.</p>",
            text::count(budget.left_out, "photograph")
        );
    }
    switches(&mut page, &outcome.counts);
    page.push_str("<main class=\"cards\">");
    page.push_str(&cards);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn title(outcome: &Outcome) -> String {
    let photos = text::count(outcome.photos.len(), "photograph");
    format!("{photos}, {}", text::count(outcome.models.len(), "model"))
}

fn head(page: &mut String, outcome: &Outcome) {
    // The policy lets nothing load or run, should an escape ever be missed.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Darkroom: {}</title>\n<style>{CSS}</style>\n</head>\n<body>\n",
        title(outcome)
    );
}

fn overview(page: &mut String, outcome: &Outcome) {
    let counts = &outcome.counts;
    let _ = write!(
        page,
        "<header class=\"top\"><p class=\"kicker\">Darkroom</p><h1>{}</h1><p class=\"meta\">{} · {}</p>\
         <p class=\"meta mono\">submission {}</p>",
        title(outcome),
        time(outcome.finished_at),
        esc(&outcome.server),
        esc(&outcome.submission)
    );
    if outcome.timed_out {
        page.push_str("<p class=\"note\">Not all jobs had ended when this page was made.</p>");
    }
    page.push_str("<dl class=\"counts\">");
    let figures = [
        ("photographs", counts.files, ""),
        ("jobs", counts.jobs, ""),
        ("succeeded", counts.succeeded, "ok"),
        ("failed", counts.failed, "no"),
        ("cancelled", counts.cancelled, "off"),
        ("unfinished", counts.queued + counts.running, "wait"),
        ("files rejected", counts.rejected, "no"),
        ("computed now", counts.computed_now, ""),
        ("cached", counts.cached, ""),
        ("attached", counts.attached, ""),
    ];
    for (name, figure, class) in figures {
        let always = matches!(name, "photographs" | "jobs" | "succeeded" | "failed" | "computed now");
        if always || figure > 0 {
            let class = if figure == 0 { "" } else { class };
            let _ = write!(page, "<div class=\"{class}\"><dt>{name}</dt><dd>{figure}</dd></div>");
        }
    }
    page.push_str("</dl></header>");
}

/// One row per model: versions, a bar of states, the labels seen most.
fn models(page: &mut String, outcome: &Outcome) {
    let mut by_model: BTreeMap<&str, Vec<&PhotoJob>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (photo, job) in outcome.photos.iter().flat_map(|p| p.jobs.iter().map(move |job| (p, job))) {
        // Files of the same bytes share their jobs.
        if seen.insert((&photo.md5, &job.model)) {
            by_model.entry(&job.model).or_default().push(job);
        }
    }
    page.push_str("<section class=\"models\">");
    for (model, jobs) in by_model {
        let mut versions: Vec<&str> = jobs.iter().filter_map(|job| job.result.as_ref()?.version.as_deref()).collect();
        versions.sort_unstable();
        versions.dedup();
        let versions = versions.into_iter().map(esc).collect::<Vec<_>>().join(", ");
        let _ = write!(page, "<div class=\"row\"><h2>{}</h2><span class=\"meta\">{versions}</span>", esc(model));
        states(page, &jobs);
        let _ = write!(page, "<p class=\"seen\">{}</p></div>", top_labels(&jobs));
    }
    page.push_str("</section>");
}

fn states(page: &mut String, jobs: &[&PhotoJob]) {
    let mut bar = String::new();
    let mut words = Vec::new();
    for state in STATES {
        let n = jobs.iter().filter(|job| job.job.state == state).count();
        if n > 0 {
            let share = n as f64 * 100.0 / jobs.len() as f64;
            let class = state_class(state);
            let _ = write!(bar, "<i class=\"{class}\" style=\"width:{share:.3}%\"></i>");
            words.push(format!("{n} {state}"));
        }
    }
    let words = words.join(", ");
    let _ = write!(
        page,
        "<div class=\"bar\" role=\"img\" aria-label=\"{words}\">{bar}</div><span class=\"words\">{words}</span>"
    );
}

/// The labels seen most often, escaped, with how often.
fn top_labels(jobs: &[&PhotoJob]) -> String {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let items = jobs.iter().filter_map(|job| job.result.as_ref()).flat_map(|r| &r.items);
    for label in items.filter_map(|item| item.get("label").and_then(Value::as_str)) {
        *tally.entry(label).or_default() += 1;
    }
    let mut tally: Vec<_> = tally.into_iter().collect();
    tally.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let more = tally.len().saturating_sub(TOP_LABELS);
    let mut parts: Vec<String> =
        tally.iter().take(TOP_LABELS).map(|(label, n)| format!("{} {n}", prose(label))).collect();
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    parts.join(" · ")
}

fn rejected(page: &mut String, outcome: &Outcome) {
    if outcome.rejected.is_empty() {
        return;
    }
    let count = text::count(outcome.rejected.len(), "file");
    let _ = write!(page, "<details class=\"rejected\" open><summary>{count} rejected</summary><ul>");
    for file in &outcome.rejected {
        let why = prose(&file.problem.sentence());
        let _ = write!(page, "<li><b>{}</b> {why}</li>", esc(&file.name));
    }
    page.push_str("</ul></details>");
}

/// Switches that work by style alone.
fn switches(page: &mut String, counts: &Counts) {
    if counts.files == 0 {
        return;
    }
    page.push_str("<div class=\"switches\"><label><input type=\"checkbox\" id=\"marks\" checked>Marks</label>");
    if counts.failed > 0 {
        page.push_str("<label><input type=\"checkbox\" id=\"only-bad\">Only failures</label>");
    }
    page.push_str("</div>");
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::json;

    use super::super::counts::count;
    use super::super::outcome::{Photo, Rejected};
    use super::super::problem::Problem;
    use super::*;

    const EVIL: &str = "<script>alert(1)</script>\"'onload=x";

    fn hostile() -> Outcome {
        let job = |state: &str| PhotoJob {
            model: EVIL.into(),
            outcome: Some(EVIL.into()),
            job: serde_json::from_value(json!({"state": state, "reason": EVIL, "waiting": EVIL,
                "error": {"type": EVIL, "message": EVIL}}))
            .unwrap(),
            result: serde_json::from_value(json!({"version": EVIL, "summary": EVIL,
                "fields": {EVIL: {EVIL: [EVIL]}},
                "items": [{"type": "text", "text": EVIL, "box": [0, 0, 1, 1]}, {"type": "hash", "algo": EVIL},
                          {"type": "box", "box": [0, 0, 1, 1], "label": EVIL, "score": 0.5}]}))
            .unwrap(),
        };
        let path = std::env::temp_dir().join(format!("darkroom-{}.gif", uuid::Uuid::new_v4()));
        std::fs::write(&path, b"GIF89a").unwrap();
        let photos = vec![Photo {
            name: EVIL.into(),
            path,
            md5: "d8a91fa01fdd5d6a4d2b5e5c4dd7d5c3".into(),
            bytes: 6,
            new: true,
            warnings: vec![json!(EVIL), json!({"detail": EVIL})],
            jobs: ["succeeded", "failed", "queued", EVIL].map(job).into(),
        }];
        let problem = Problem::local(EVIL, EVIL, EVIL.into(), EVIL);
        let rejected = vec![Rejected { name: EVIL.into(), problem }];
        Outcome {
            server: EVIL.into(),
            submission: EVIL.into(),
            models: vec![EVIL.into()],
            started_at: Utc::now(),
            finished_at: Utc::now(),
            timed_out: true,
            counts: count(&photos, &rejected),
            photos,
            rejected,
        }
    }

    #[test]
    fn strangers_text_never_becomes_markup() {
        let mut outcome = hostile();
        for shown in [false, true] {
            if shown {
                use md5::Digest;
                outcome.photos[0].md5 = hex::encode(md5::Md5::digest(b"GIF89a"));
            }
            let page = render(&outcome);
            assert_eq!(page.contains("data:image/gif"), shown);
            assert!(!page.contains("<script") && !page.contains("\"'onload"));
        }
        std::fs::remove_file(&outcome.photos[0].path).unwrap();
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let outcome = hostile();
        let page = render(&outcome);
        assert!(!page.contains("http://") && !page.contains("url(") && !page.contains("@import"));
        std::fs::remove_file(&outcome.photos[0].path).unwrap();
    }
}
