//! The network namespace of the next worker: empty, without a route and with its loopback down.
//!
//! Making one takes longer than all other namespaces together. So the spawner itself enters a fresh one
//! ahead, beside the start of the worker before; a worker is born into it and nobody else ever is.

use std::mem;

use nix::sched::{CloneFlags, unshare};

/// Whether this process is in a network namespace that no worker was born into.
#[derive(Debug, Default)]
pub struct Network {
    is_fresh: bool,
}

impl Network {
    /// Enters a fresh one, unless this is one. Where that fails, `give` says why.
    pub fn prepare(&mut self) {
        self.is_fresh = self.is_fresh || unshare(CloneFlags::CLONE_NEWNET).is_ok();
    }

    /// Gives the one that this process is in to the worker that is cloned next.
    pub fn give(&mut self) -> nix::Result<()> {
        if !mem::take(&mut self.is_fresh) {
            unshare(CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    }
}
