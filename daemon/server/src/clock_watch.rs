//! Notices when the clock on the wall is set: tokens, schedules and leases follow it, so somebody who
//! wonders why they all ended at once should find the reason.
//!
//! The clock of reference counts from the start of the system and goes on while it sleeps
//! (`CLOCK_BOOTTIME`, Linux 2.6.39), so that sleep is no jump. A clock that is adjusted slowly is none either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::limits::{CLOCK_JUMP_MIN, CLOCK_JUMP_TOLD_FOR, CLOCK_LOOK_PERIOD};
use crate::serve::told_to_stop;

/// The last jump that was noticed. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct ClockWatch(Arc<Mutex<Option<Jump>>>);

/// A jump.
#[derive(Clone, Copy, Debug)]
struct Jump {
    by: SignedDuration,
    /// On the clock of reference.
    noticed: Duration,
}

impl ClockWatch {
    /// By how much the clock jumped, if that was not long ago.
    pub fn jumped(&self) -> Option<SignedDuration> {
        let jump = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let age = since_boot().saturating_sub(jump.noticed);
        (age < CLOCK_JUMP_TOLD_FOR).then_some(jump.by)
    }

    /// Looks at the clocks until it is told to stop.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut before = offset();
        loop {
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                () = tokio::time::sleep(CLOCK_LOOK_PERIOD) => {}
            }
            let now = offset();
            let by = now - before;
            before = now;
            if by.unsigned_abs() >= CLOCK_JUMP_MIN {
                tracing::warn!("the clock was set by {by:#}: tokens, schedules and leases follow it");
                let jump = Jump { by, noticed: since_boot() };
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(jump);
            }
        }
    }
}

/// How far the clock on the wall is from that of reference.
fn offset() -> SignedDuration {
    let since_boot = SignedDuration::try_from(since_boot()).unwrap_or_default();
    Timestamp::now().as_duration() - since_boot
}

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::offset;
    use crate::limits::CLOCK_JUMP_MIN;

    #[test]
    fn a_clock_that_nobody_sets_does_not_jump() {
        let before = offset();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!((offset() - before).unsigned_abs() < CLOCK_JUMP_MIN);
    }
}
