//! How far it has come, for people.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

use crate::history::History;

/// Between two lines where there is no terminal for a progress bar.
const EVERY: Duration = Duration::from_secs(10);

/// A bar, or a line now and then.
pub(crate) struct Progress {
    bar: ProgressBar,
    ticking: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn begin(history: Arc<History>, time: Duration) -> Self {
        let bar = ProgressBar::new(time.as_secs());
        let style = ProgressStyle::with_template("{elapsed} {bar:30} {msg}");
        bar.set_style(style.expect("the template is valid"));
        let shown = bar.clone();
        let ticking = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(500));
            let mut line_due = EVERY;
            loop {
                ticks.tick().await;
                let now = history.now();
                let message = format!(
                    "{} orders acknowledged, {} calls refused, {} without an outcome",
                    history.placed.load(Relaxed),
                    history.refused.load(Relaxed),
                    history.unknown.load(Relaxed)
                );
                if shown.is_hidden() && now >= line_due {
                    println!("{:6.1} s  {message}", now.as_secs_f64());
                    line_due += EVERY;
                }
                shown.set_position(now.as_secs());
                shown.set_message(message);
            }
        });
        Self { bar, ticking }
    }

    /// A line above it.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    pub(crate) fn end(self) {
        self.ticking.abort();
        self.bar.finish_and_clear();
    }
}
