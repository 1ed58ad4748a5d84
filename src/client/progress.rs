//! Progress on stderr: bars on a terminal, a plain line every few seconds elsewhere, or nothing.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

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
        Stage::begin(self, "uploading", Unit::Bytes, bytes, template)
    }

    /// A stage that counts ended jobs.
    pub(super) fn jobs(self, jobs: u64) -> Stage {
        let template = "{spinner} working   [{bar:30}] {pos}/{len} jobs {elapsed} {wide_msg}";
        Stage::begin(self, "working", Unit::Jobs, jobs, template)
    }

    /// A remark between stages.
    pub(super) fn say(self, line: &str) {
        if self != Self::Hidden {
            text::say(line);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Jobs,
}

/// One stretch of work with a known amount; clones share the count, the last one clears the bar.
#[derive(Clone)]
pub(super) struct Stage(Arc<Inner>);

struct Inner {
    progress: Progress,
    name: &'static str,
    unit: Unit,
    total: AtomicU64,
    done: AtomicU64,
    begun: Instant,
    line_at: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Stage {
    fn begin(progress: Progress, name: &'static str, unit: Unit, total: u64, template: &str) -> Self {
        let bar = (progress == Progress::Bars).then(|| {
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─");
            let bar = ProgressBar::new(total).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let begun = Instant::now();
        Self(Arc::new(Inner {
            progress,
            name,
            unit,
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            begun,
            line_at: Mutex::new(begun),
            bar,
        }))
    }

    pub(super) fn add(&self, n: u64) {
        self.show(self.0.done.fetch_add(n, Ordering::Relaxed) + n);
    }

    /// Takes back what a failed try had counted.
    pub(super) fn take_back(&self, n: u64) {
        self.show(self.0.done.fetch_sub(n, Ordering::Relaxed).saturating_sub(n));
    }

    /// Sets what is done of how much, and a remark beside it.
    pub(super) fn set(&self, done: u64, total: u64, remark: String) {
        self.0.total.store(total, Ordering::Relaxed);
        self.0.done.store(done, Ordering::Relaxed);
        if let Some(bar) = &self.0.bar {
            bar.set_length(total);
            bar.set_message(remark);
        }
        self.show(done);
    }

    /// Prints a line without disturbing the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.0.bar {
            Some(bar) => bar.suspend(|| text::say(line)),
            None => self.0.progress.say(line),
        }
    }

    fn show(&self, done: u64) {
        if let Some(bar) = &self.0.bar {
            bar.set_position(done);
        } else if self.0.progress == Progress::Lines {
            let mut last = self.0.line_at.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= LINE_EVERY {
                *last = Instant::now();
                let total = self.0.total.load(Ordering::Relaxed);
                text::say(&line(self.0.name, self.0.unit, done, total, self.0.begun.elapsed()));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(name: &str, unit: Unit, done: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
    let rate = done as f64 / seconds;
    match unit {
        Unit::Jobs => format!("{name}: {done} of {total} jobs ended ({percent} %), {seconds:.0} s"),
        Unit::Bytes => {
            let left = total.saturating_sub(done) as f64 / rate.max(1.0);
            let (sent, all) = (text::size(done), text::size(total));
            format!("{name}: {sent} of {all} ({percent} %), {}/s, {left:.0} s left", text::size(rate as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_amount_rate_and_rest() {
        let second = Duration::from_secs(1);
        let expected = "uploading: 1.0 MiB of 4.0 MiB (25 %), 1.0 MiB/s, 3 s left";
        assert_eq!(line("uploading", Unit::Bytes, 1 << 20, 4 << 20, second), expected);
        let expected = "working: 0 of 0 jobs ended (100 %), 1 s";
        assert_eq!(line("working", Unit::Jobs, 0, 0, second), expected);
    }
}
