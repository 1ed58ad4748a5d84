//! Progress on stderr: bars on a terminal, a plain line every few seconds elsewhere, or nothing.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use parking_lot::Mutex;

use super::text;

/// Pause between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not at all.
    Hidden,
    /// Moving bars on stderr.
    Bars,
    /// A line on stderr every few seconds.
    Lines,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines.
    pub fn stderr() -> Self {
        if io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }

    /// How long the server may sit on a question about progress, in seconds (its limit is 50):
    /// short where somebody watches, long where nobody does.
    pub(super) fn poll_s(self) -> u64 {
        match self {
            Self::Hidden => 20,
            Self::Bars => 2,
            Self::Lines => 5,
        }
    }

    /// A stage that counts bytes on their way.
    pub(super) fn upload(self, bytes: u64) -> Stage {
        let template = "{spinner} uploading [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        Stage::begin(self, upload_line, bytes, template)
    }

    /// A stage that counts bytes that come.
    pub(super) fn download(self, bytes: u64) -> Stage {
        let template = "{spinner} fetching  [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        Stage::begin(self, download_line, bytes, template)
    }

    /// A stage that counts bytes that are compared.
    pub fn compared(self) -> Stage {
        let template = "{spinner} comparing [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        Stage::begin(self, compared_line, 0, template)
    }

    /// A stage that counts percents of a training run.
    pub(super) fn run(self) -> Stage {
        let template = "{spinner} training  [{bar:30}] {pos} % {elapsed} {wide_msg}";
        Stage::begin(self, run_line, 100, template)
    }

    /// A stage that counts ended jobs.
    pub(super) fn jobs(self, jobs: u64) -> Stage {
        let template = "{spinner} working   [{bar:30}] {pos}/{len} jobs {elapsed} {wide_msg}";
        Stage::begin(self, jobs_line, jobs, template)
    }

    /// A stage that counts images.
    pub fn images(self, images: u64) -> Stage {
        let template = "{spinner} working   [{bar:30}] {pos}/{len} images {elapsed} ETA {eta}";
        Stage::begin(self, images_line, images, template)
    }

    /// A remark between stages.
    pub(super) fn say(self, line: &str) {
        if self != Self::Hidden {
            text::say(line);
        }
    }
}

/// One stretch of work with a known amount; clones share the count, the last one clears the bar.
#[derive(Clone)]
pub struct Stage {
    progress: Progress,
    /// What a plain line says of what is done, of how much, in which time.
    line: fn(u64, u64, Duration, &str) -> String,
    /// Counts also where it does not show.
    bar: ProgressBar,
    line_at: Arc<Mutex<Instant>>,
}

impl Stage {
    fn begin(progress: Progress, line: fn(u64, u64, Duration, &str) -> String, total: u64, template: &str) -> Self {
        let bar = if progress == Progress::Bars {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style.progress_chars("━╸─"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
        };
        let bar = bar.with_finish(ProgressFinish::AndClear);
        Self { progress, line, bar, line_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Counts so much more as done.
    pub(super) fn add(&self, n: u64) {
        self.bar.inc(n);
        self.show();
    }

    /// Sets what is done of how much, and a remark beside it.
    pub fn set(&self, done: usize, total: usize, remark: String) {
        self.bar.set_length(total as u64);
        self.bar.set_message(remark);
        self.bar.set_position(done as u64);
        self.show();
    }

    fn show(&self) {
        let mut last = self.line_at.lock();
        if self.progress == Progress::Lines && last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            text::say(&(self.line)(done, total, self.bar.elapsed(), &self.bar.message()));
        }
    }
}

/// Whole percents, of which the last is there when all is done.
fn percent(done: u64, total: u64) -> u64 {
    (done.min(total) * 100).checked_div(total).unwrap_or(0)
}

fn jobs_line(done: u64, total: u64, elapsed: Duration, remark: &str) -> String {
    let percent = percent(done, total);
    format!("working: {done} of {total} jobs ended ({percent} %), {:.0} s; {remark}", elapsed.as_secs_f64())
}

fn images_line(done: u64, total: u64, elapsed: Duration, _: &str) -> String {
    let percent = percent(done, total);
    format!("working: {done} of {total} images ({percent} %), {:.0} s", elapsed.as_secs_f64())
}

fn run_line(done: u64, _: u64, elapsed: Duration, remark: &str) -> String {
    format!("training: {done} %, {:.0} s; {remark}", elapsed.as_secs_f64())
}

fn upload_line(done: u64, total: u64, elapsed: Duration, _: &str) -> String {
    format!("uploading: {}", moved(done, total, elapsed))
}

fn download_line(done: u64, total: u64, elapsed: Duration, _: &str) -> String {
    format!("fetching: {}", moved(done, total, elapsed))
}

fn compared_line(done: u64, total: u64, elapsed: Duration, _: &str) -> String {
    format!("comparing: {}", moved(done, total, elapsed))
}

fn moved(done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    let (sent, all, per_s) = (HumanBytes(done), HumanBytes(total), HumanBytes(rate as u64));
    format!("{sent} of {all} ({} %), {per_s}/s, {left:.0} s left", percent(done, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_amount_rate_and_rest() {
        let second = Duration::from_secs(1);
        let expected = "uploading: 1.00 MiB of 4.00 MiB (25 %), 1.00 MiB/s, 3 s left";
        assert_eq!(upload_line(1 << 20, 4 << 20, second, ""), expected);
        assert_eq!(jobs_line(1, 4, second, "ocr 1/4"), "working: 1 of 4 jobs ended (25 %), 1 s; ocr 1/4");
    }
}
