//! Waiting for a condition with a deadline and a message.

use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `condition` holds; panics with `what` at the deadline.
pub async fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < within, "waited {within:?} in vain for: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The same for a condition that has to ask somebody.
pub async fn wait_for<F: Future<Output = Option<T>>, T>(
    what: &str,
    within: Duration,
    mut question: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain for: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
