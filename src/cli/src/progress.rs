//! A progress bar on stderr for work that takes longer than a second, on a terminal only.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use walkeep::restore::Progress;

/// Nothing is shown before this much time.
const PATIENCE: Duration = Duration::from_secs(1);

const TEMPLATE: &str = "{msg} {wide_bar} {percent}% {bytes_per_sec} ETA {eta}";

/// Runs `work` and shows how many of `bytes_total` it has done, as `progress` counts pages of `page_bytes`.
pub(crate) async fn with_bar<T>(
    message: &'static str,
    bytes_total: u64,
    page_bytes: u64,
    progress: Arc<Progress>,
    work: impl Future<Output = T>,
) -> T {
    let bar = ProgressBar::with_draw_target(Some(bytes_total), ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_message(message);
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut waited = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                bar.finish_and_clear();
                return done;
            }
            _ = ticks.tick() => {
                waited += Duration::from_millis(100);
                if waited >= PATIENCE && bar.is_hidden() {
                    // Draws only where stderr is a terminal.
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.set_position(progress.pages() * page_bytes);
            }
        }
    }
}
