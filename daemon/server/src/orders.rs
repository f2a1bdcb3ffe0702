//! Orders by signal: SIGTERM and SIGINT stop, SIGHUP reads the project again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::catalog::Reloaded;
use crate::notify::{State, notify};

/// Signals from now on.
pub struct Orders {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Order {
    Stop(&'static str),
    Reload,
}

impl Orders {
    /// From here on none is missed.
    pub fn new() -> io::Result<Self> {
        let hear = |kind| signal(kind);
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
            hangup: hear(SignalKind::hangup())?,
        })
    }

    /// Carries out orders until one says to stop, and tells that it has come.
    pub async fn obey(&mut self, app: &App) {
        loop {
            match self.next().await {
                Order::Reload => reload(app).await,
                Order::Stop(order) => {
                    tracing::info!("stopping: {order}");
                    notify(State::Stopping);
                    return;
                }
            }
        }
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Order::Stop("SIGINT"),
            _ = self.hangup.recv() => Order::Reload,
        }
    }
}

/// Schema and functions are read again. What cannot be read changes nothing and is printed.
async fn reload(app: &App) {
    notify(State::Reloading);
    match app.catalogs.reload().await {
        Reloaded::Refused => tracing::warn!("the project was not read again: the schema in force stays"),
        Reloaded::Live | Reloaded::Same => {
            app.read_again();
            tracing::info!("the project was read again");
        }
    }
    notify(State::Ready);
}
