//! All channels that somebody uses.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::channel::Channel;

type Known = HashMap<String, (Arc<Channel>, usize)>;

/// Channels by name, each as long as somebody holds it. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Channels(Arc<Mutex<Known>>);

/// A channel; the last one that is dropped ends it.
pub struct Handle {
    channels: Channels,
    channel: Arc<Channel>,
}

impl Channels {
    /// The channel of a name.
    pub fn enter(&self, name: &str) -> Handle {
        let mut known = self.lock();
        let (channel, holders) =
            known.entry(name.to_owned()).or_insert_with(|| (Arc::new(Channel::new(name)), 0));
        *holders += 1;
        Handle { channels: self.clone(), channel: Arc::clone(channel) }
    }

    /// The same, if somebody uses it.
    pub fn get(&self, name: &str) -> Option<Handle> {
        let mut known = self.lock();
        let (channel, holders) = known.get_mut(name)?;
        *holders += 1;
        Some(Handle { channels: self.clone(), channel: Arc::clone(channel) })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Handle {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.channels.enter(&self.channel.name)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Handle").field(&self.channel.name).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut known = self.channels.lock();
        if let Some((_, holders)) = known.get_mut(&self.channel.name) {
            *holders -= 1;
            if *holders == 0 {
                known.remove(&self.channel.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Channels;

    #[test]
    fn a_channel_is_there_as_long_as_somebody_holds_it() {
        let channels = Channels::default();
        let first = channels.enter("a");
        let second = first.clone();
        assert!(std::ptr::eq(&*first, &*second));
        drop(first);
        assert!(channels.get("a").is_some() && channels.get("b").is_none());
        drop(second);
        assert!(channels.get("a").is_none() && channels.lock().is_empty());
    }
}
