//! The way from what is about to happen, or just has, to the hooks that somebody waits for. Whoever writes
//! knows this only: the hooks themselves run functions, which write.

use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::{AuthAction, HookAction};
use serde_json::value::RawValue;

use crate::problem::ApiError;

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// A document of this collection is written so.
    Document(String, HookAction),
    /// This is done to an account.
    Auth(AuthAction),
}

/// What a hook is told of it: JSON of documents is complete, hidden and internal fields included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// What happens.
    pub moment: Moment,
    /// Id of the document.
    pub id: String,
    /// The document as it would be, or is now.
    pub doc: Option<Arc<str>>,
    /// The document as it was.
    pub old: Option<Arc<str>>,
}

/// Whose doing it is.
#[derive(Clone, Debug)]
pub struct Doer {
    /// Who.
    pub identity: Identity,
    /// The request behind it.
    pub facts: RequestFacts,
}

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// Runs the hooks that somebody waits for.
pub trait Waited: Send + Sync + 'static {
    /// Ids of the hooks to ask before this, in their order.
    fn before(&self, moment: &Moment) -> Arc<[String]>;

    /// Ids of the hooks to tell after this, in their order.
    fn after(&self, moment: &Moment) -> Arc<[String]>;

    /// Asks a hook. It changes nothing, wants these fields to have other values, or refuses.
    fn ask(
        self: Arc<Self>,
        hook: String,
        told: Told,
        doer: Doer,
    ) -> Future<Result<Option<Box<RawValue>>, ApiError>>;

    /// Tells a hook of what is committed. That it failed is noted where `doer` sees it.
    fn tell(self: Arc<Self>, hook: String, told: Told, doer: Doer) -> Future<()>;
}

/// Where the hooks are found once there are any. A cheap clone.
#[derive(Clone, Default)]
pub struct WaitedHooks(Arc<OnceLock<Weak<dyn Waited>>>);

impl WaitedHooks {
    /// From now on these are asked and told.
    pub fn set(&self, hooks: &Arc<dyn Waited>) {
        // Set once, at the start.
        drop(self.0.set(Arc::downgrade(hooks)));
    }

    /// The hooks; none before the start is over and after the end.
    pub fn get(&self) -> Option<Arc<dyn Waited>> {
        self.0.get().and_then(Weak::upgrade)
    }
}
