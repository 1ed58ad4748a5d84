//! One photograph of the report: the picture with its marks, then a section per model.

use std::fmt::Write;

use serde_json::Value;

use super::outcome::{Photo, PhotoJob};
use super::report_embed::Budget;
use super::report_marks::{Palette, overlay};
use super::report_result::result;
use super::report_text::{esc, prose, time, value};
use super::text;

/// Longest name over a photograph, in characters; the full one shows on hovering.
const NAME_MAX: usize = 44;

/// Appends the card of the photograph with this number, counted from 1.
pub(super) fn card(out: &mut String, number: usize, photo: &Photo, budget: &mut Budget, palette: &mut Palette) {
    let bad = photo.jobs.iter().any(|job| job.job.state == "failed");
    let class = if bad { "card bad" } else { "card" };
    let name = esc(&photo.name);
    let _ = write!(out, "<article class=\"{class}\" id=\"p{number}\">");
    let _ = write!(
        out,
        "<header class=\"edge\"><span class=\"no\">{number}</span><h2 title=\"{name}\">{}</h2></header>",
        esc(&text::middle_cut(&photo.name, NAME_MAX))
    );
    match budget.embed(photo) {
        Ok(uri) => {
            let _ = write!(
                out,
                "<label class=\"stage\"><input type=\"checkbox\" class=\"zoom\" aria-label=\"Enlarge {name}\">\
                 <span class=\"frame\"><img alt=\"{name}\" decoding=\"async\" src=\"{uri}\">"
            );
            out.push_str(&overlay(photo, palette));
            out.push_str("</span></label>");
        }
        Err(why) => {
            let _ = write!(out, "<p class=\"stage none\">{}</p>", esc(&why));
        }
    }
    out.push_str("<div class=\"body\">");
    for job in &photo.jobs {
        model(out, job, palette);
    }
    for warning in &photo.warnings {
        let _ = write!(out, "<p class=\"warning\">{}</p>", warning_text(warning));
    }
    let _ = write!(
        out,
        "<footer class=\"mono\"><span>{}</span><span>{}</span></footer></div></article>",
        esc(&photo.md5),
        text::size(photo.bytes)
    );
}

fn warning_text(warning: &Value) -> String {
    let member = |key: &str| warning.get(key).and_then(Value::as_str);
    member("detail").or_else(|| member("title")).map_or_else(|| value(warning), prose)
}

fn model(out: &mut String, job: &PhotoJob, palette: &mut Palette) {
    let state = esc(&job.job.state);
    let class = state_class(&job.job.state);
    let version = job.result.as_ref().and_then(|result| result.version.as_deref());
    let _ = write!(
        out,
        "<section class=\"model\"><h3>{}{} <span class=\"pill {class}\">{state}</span></h3>",
        esc(&job.model),
        version.map_or_else(String::new, |v| format!(" <span class=\"meta\">{}</span>", esc(v)))
    );
    let _ = write!(out, "<p class=\"meta\">{}</p>", provenance(job));
    match job.job.state.as_str() {
        "succeeded" => {}
        "failed" => failure(out, job),
        _ => {
            let waits = job.summary();
            if !waits.is_empty() {
                let _ = write!(out, "<p>{}</p>", prose(&waits));
            }
        }
    }
    if let Some(found) = &job.result {
        if job.job.state != "succeeded" {
            out.push_str("<p class=\"meta\">An earlier result:</p>");
        }
        result(out, found, palette);
    }
    out.push_str("</section>");
}

/// The style sheet's class of a state.
pub(super) fn state_class(state: &str) -> &'static str {
    match state {
        "succeeded" => "ok",
        "failed" => "no",
        "cancelled" => "off",
        _ => "wait",
    }
}

/// Time of finishing and where the result came from, as far as known.
fn provenance(job: &PhotoJob) -> String {
    let result = job.result.as_ref();
    let mut parts = Vec::new();
    let finished = job.job.finished_at.or_else(|| result.and_then(|result| result.finished_at));
    parts.extend(finished.map(|at| format!("finished {}", time(at))));
    let origin = match job.outcome.as_deref() {
        Some("created") => Some("computed now"),
        Some("finished") => Some("cached"),
        Some("attached") => Some("attached"),
        _ => None,
    };
    parts.extend(origin.map(str::to_owned));
    if let (Some(attempt @ 2..), Some(max)) = (job.job.attempt, job.job.max_attempts) {
        parts.push(format!("attempt {attempt} of {max}"));
    }
    parts.join(" · ")
}

fn failure(out: &mut String, job: &PhotoJob) {
    let error = job.job.error.as_ref();
    let reason = match job.job.reason.as_deref() {
        Some("rejected") => "The worker rejected the photograph.",
        Some("exhausted") => "Every attempt failed.",
        Some("poisoned") => "The photograph made worker after worker die.",
        Some("expired") => "It was not done in time.",
        _ => "It failed.",
    };
    let _ = write!(out, "<div class=\"error\"><p>{reason}</p>");
    let kind = error.and_then(|error| error.kind.as_deref());
    let message = error.and_then(|error| error.message.as_deref());
    if kind.is_some() || message.is_some() {
        let kind = kind.map_or_else(String::new, |kind| format!("<b>{}</b> ", esc(kind)));
        let _ = write!(out, "<pre>{kind}{}</pre>", message.map(prose).unwrap_or_default());
    }
    out.push_str("</div>");
}
