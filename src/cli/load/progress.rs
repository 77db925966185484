//! How a load shows on stderr: a bar on a terminal, a line now and then elsewhere. Never on stdout.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;
use crate::cli::error::note;
use crate::cli::limits;
use crate::cli::text;

/// How often the bar is renewed: fast enough to look alive.
const BAR_INTERVAL: Duration = Duration::from_millis(200);

/// How often a line is written where there is no terminal: a load of an hour leaves 360 lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Weight of the latest interval in the rate shown, so that it is steady but follows within seconds.
const RATE_WEIGHT: f64 = 0.2;

/// Where progress and errors of a load go.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None` where stderr is no terminal.
    bar: Option<ProgressBar>,
    input_size_bytes: Option<u64>,
    errors_printed: AtomicU64,
}

impl Progress {
    /// For an input of known or unknown size.
    pub(crate) fn new(input_size_bytes: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(input_size_bytes));
        Self {
            bar,
            input_size_bytes,
            errors_printed: AtomicU64::new(0),
        }
    }

    /// Prints an error above the bar. After [`limits::ERRORS_PRINTED_MAX`] they are only counted.
    pub(crate) fn error(&self, message: &str) {
        let printed = self.errors_printed.fetch_add(1, Ordering::Relaxed);
        if printed < limits::ERRORS_PRINTED_MAX {
            self.print(&format!("atoll: {}", text::escape_lines(message)));
        } else if printed == limits::ERRORS_PRINTED_MAX {
            self.print("atoll: further errors are only counted");
        }
    }

    fn print(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(message)),
            None => note(message),
        }
    }

    /// Shows how far `tally` is until the task is dropped.
    pub(crate) async fn follow(self: Arc<Self>, tally: Arc<Tally>) {
        let period = if self.bar.is_some() {
            BAR_INTERVAL
        } else {
            LINE_INTERVAL
        };
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        let mut rate = Rate::new();
        loop {
            interval.tick().await;
            let rate = rate.update(tally.loaded());
            let message = describe(&tally, rate);
            match (&self.bar, self.input_size_bytes) {
                (Some(bar), _) => {
                    bar.set_position(tally.input_bytes());
                    bar.set_message(message);
                }
                (None, Some(size)) if size > 0 => {
                    let percent = tally.input_bytes().saturating_mul(100) / size;
                    note(&format!("{percent} % read, {message}"));
                }
                (None, _) => note(&message),
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(input_size_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match input_size_bytes {
        Some(size) => (
            ProgressBar::new(size),
            "{wide_bar} {percent:>3} %  {msg}  {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {elapsed}  {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants that parse"));
    bar
}

fn describe(tally: &Tally, rate: f64) -> String {
    let mut message = format!("{} loaded, {rate:.0}/s", text::count(tally.loaded()));
    if tally.errors() > 0 {
        message.push_str(&format!(", {}", text::plural(tally.errors(), "error")));
    }
    message
}

/// Records per second of late.
struct Rate {
    at: Instant,
    loaded: u64,
    per_second: Option<f64>,
}

impl Rate {
    fn new() -> Self {
        Self {
            at: Instant::now(),
            loaded: 0,
            per_second: None,
        }
    }

    fn update(&mut self, loaded: u64) -> f64 {
        let elapsed = self.at.elapsed().as_secs_f64().max(f64::EPSILON);
        let latest = loaded.saturating_sub(self.loaded) as f64 / elapsed;
        let smoothed = self
            .per_second
            .map_or(latest, |rate| rate + RATE_WEIGHT * (latest - rate));
        *self = Self {
            at: Instant::now(),
            loaded,
            per_second: Some(smoothed),
        };
        smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bars_have_valid_templates() {
        bar(Some(10)).finish_and_clear();
        bar(None).finish_and_clear();
    }

    #[test]
    fn progress_shows_errors_only_when_there_are_some() {
        let tally = Tally::new();
        tally.record_loaded(Duration::from_millis(1), 1);
        assert_eq!(describe(&tally, 12.4), "1 loaded, 12/s");
        tally.record_malformed();
        assert_eq!(describe(&tally, 12.4), "1 loaded, 12/s, 1 error");
    }
}
