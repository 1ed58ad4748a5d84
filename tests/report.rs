//! The page of a hostile submission: nothing of it becomes markup, and nothing is loaded.

use std::path::Path;

use md5::Digest;
use serde_json::json;

use chrono::Utc;
use darkroom::api::status::StatusItem;
use darkroom::client::counts::count;
use darkroom::client::outcome::{Photo, RejectedPhoto, SkipReason, SkippedFile};
use darkroom::client::submit::SubmitReport;
use darkroom::report::{Pictures, render};

const EVIL: &str = "<script>alert(1)</script>\"'onload=x\u{202e}\u{7}";
/// The smallest picture that is one.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const ID: &str = "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f";

fn photo(path: &Path, content: &[u8]) -> Photo {
    std::fs::write(path, content).expect("a file");
    let md5 = hex::encode(md5::Md5::digest(content));
    let states = ["succeeded", "failed", "queued"];
    let job = |state: &&str| json!({"id": ID, "model": format!("{EVIL}{state}"), "state": state, "outcome": EVIL});
    let image = json!({"index": 0, "name": null, "md5": md5, "sha256": "", "bytes": content.len(), "new": true,
        "warnings": [EVIL], "jobs": states.iter().map(job).collect::<Vec<_>>()});
    let told = |state: &&str| {
        json!({"id": ID, "state": state, "reason": EVIL, "waiting": "paused", "attempt": 2, "max_attempts": 5,
            "progress": null, "created_at": "2026-11-22T09:00:00Z", "started_at": null, "run_at": null, "finished_at": null,
            "error": {"type": EVIL, "message": EVIL}})
    };
    let result = json!({"version": EVIL, "job": ID, "finished_at": "2026-11-22T09:00:00Z", "summary": EVIL,
        "fields": {EVIL: {EVIL: [EVIL]}},
        "items": [{"type": "text", "text": EVIL, "box": [0, 0, 1, 1]}, {"type": "hash", "algo": EVIL},
                  {"type": "box", "box": [0, 0, 1, 1], "label": EVIL, "score": 0.5}]});
    let by_model = |of: &dyn Fn(&&str) -> serde_json::Value| {
        states.iter().map(|s| (format!("{EVIL}{s}"), of(s))).collect::<serde_json::Map<_, _>>()
    };
    let item = json!({"md5": "", "status": null, "done": null, "problem": null, "jobs": by_model(&told),
        "results": by_model(&|_| result.clone())});
    let item: StatusItem = serde_json::from_str(&item.to_string()).expect("made here");
    let found = item.try_into().expect("made here");
    Photo::taken(EVIL.to_owned(), path.to_owned(), serde_json::from_value(image).expect("made here"), Some(&found))
}

fn hostile(folder: &Path) -> SubmitReport {
    let photos = vec![photo(&folder.join("a.gif"), GIF), photo(&folder.join("b.gif"), b"GIF89a")];
    let problem = json!({"type": EVIL, "title": EVIL, "status": 422, "code": EVIL, "detail": EVIL, "mend": EVIL,
        "errors": [], "request_id": EVIL});
    let rejected =
        vec![RejectedPhoto { name: EVIL.into(), problem: serde_json::from_value(problem).expect("made here") }];
    SubmitReport {
        server: EVIL.into(),
        submission: uuid::Uuid::nil(),
        models: vec![EVIL.into()],
        started_at: Utc::now(),
        finished_at: Utc::now(),
        timed_out: true,
        counts: count(&photos, &rejected, &[]),
        photos,
        rejected,
        skipped: vec![SkippedFile { name: EVIL.into(), reason: SkipReason::NotAnImage }],
    }
}

#[test]
fn strangers_text_never_becomes_markup() {
    let folder = tempfile::tempdir().expect("made here");
    let page = render(&hostile(folder.path()), Pictures::Full).expect("made here");
    // The one script is the page's own, and the only one that may run.
    assert_eq!((page.matches("<script").count(), page.matches("script-src 'sha256-").count()), (1, 1));
    assert!(!page.contains("\"'onload"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{7}'));
    assert!(page.contains("&lt;script&gt;"));
    assert_eq!(page.matches("src=\"data:image/gif;base64,").count(), 1);
    assert!(page.contains("Browsers do not show such files."));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let folder = tempfile::tempdir().expect("made here");
    let page = render(&hostile(folder.path()), Pictures::Small).expect("made here");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 1, "a small picture of the one that is an image");
    assert!(!page.contains("http://") && !page.contains("url(") && !page.contains("@import"));
}
