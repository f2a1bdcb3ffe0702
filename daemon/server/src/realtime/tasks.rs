//! What goes on by itself: finding out what changed, looking again at whoever may have lost a right, and
//! ending connections that do not keep up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alyx_store::{Error, Position, Since};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::connection::Connection;
use super::message::{self, Reason};
use super::{Hub, talk};
use crate::clock;
use crate::limits::{REALTIME_CLOSE_MAX, REALTIME_REAUTH_MAX, REALTIME_RETRY, REALTIME_SLOW_MAX};
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// Changes that are read at once.
const PAGE: u32 = 500;

impl Hub {
    /// Goes on until the order to stop, then ends all connections.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let doubted = self.0.doubted.lock().ok().and_then(|mut doubted| doubted.take());
        let Some(doubted) = doubted else { return };
        tokio::select! {
            () = told_to_stop(&mut stopped) => {}
            () = self.follow() => {}
            () = self.follow_events() => {}
            () = self.look_at(doubted) => {}
            () = self.sweep() => {}
        }
        let all: Vec<Arc<Connection>> = self.connections().values().map(Arc::clone).collect();
        all.iter().for_each(|connection| self.end(connection, Reason::Stopping));
        let until = tokio::time::Instant::now() + REALTIME_CLOSE_MAX;
        while !self.connections().is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Wakes the groups that changes may matter to.
    async fn follow(&self) {
        let mut latest = self.0.latest.clone();
        let mut seen: Option<Position> = None;
        while latest.changed().await.is_ok() {
            if self.0.groups.is_empty() {
                // Nobody asks what it was.
                seen = None;
                continue;
            }
            if let Err(error) = self.read_on(&mut seen).await {
                tracing::debug!("the change feed was not read: {}", error_chain(&error));
                seen = None;
                self.wake_all();
                tokio::time::sleep(REALTIME_RETRY).await;
            }
        }
    }

    async fn read_on(&self, seen: &mut Option<Position>) -> Result<(), Error> {
        let Some(mut place) = seen.take() else {
            *seen = Some(self.0.store.last_change().await?);
            self.wake_all();
            return Ok(());
        };
        loop {
            let page = self.0.store.changes(Since::After(place), Vec::new(), PAGE).await?;
            let catalog = self.0.catalog.load();
            page.rows.iter().for_each(|row| self.0.groups.wake(&catalog, row));
            place = page.next;
            if page.at_end {
                *seen = Some(place);
                return Ok(());
            }
        }
    }

    fn wake_all(&self) {
        self.0.groups.all().iter().for_each(|group| group.wake());
    }

    async fn look_at(&self, mut doubted: UnboundedReceiver<Arc<Connection>>) {
        while let Some(connection) = doubted.recv().await {
            connection.queued.store(false, Ordering::Release);
            if let Err(error) = self.look_again(&connection).await {
                tracing::debug!(code = error.code(), "a connection was not looked at: {}", error.code());
                let (hub, connection) = (self.clone(), Arc::clone(&connection));
                self.0.tasks.spawn(async move {
                    tokio::time::sleep(REALTIME_RETRY).await;
                    hub.0.doubts.doubt(&connection);
                });
            }
        }
    }

    async fn sweep(&self) {
        let mut due = tokio::time::interval(Duration::from_secs(1));
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let all: Vec<Arc<Connection>> = self.connections().values().map(Arc::clone).collect();
            for connection in all {
                self.check(&connection);
            }
        }
    }

    fn check(&self, connection: &Arc<Connection>) {
        if connection.outbox.full_since().is_some_and(|since| since.elapsed() > REALTIME_SLOW_MAX) {
            return self.end(connection, Reason::Slow);
        }
        if !connection.has_expired() {
            return;
        }
        let over = clock::now_seconds().saturating_sub(connection.expires_at());
        if over > REALTIME_REAUTH_MAX.as_secs() {
            self.end(connection, Reason::TokenExpired);
        } else if connection.tell_expired() {
            connection.outbox.put(message::error(None, &talk::expired().into_problem()));
        }
    }
}
