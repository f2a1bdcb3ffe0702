//! The sessions of an account: listed and ended by their owner or an administrator.

use alyx_core::identity::Identity;
use serde::Serialize;

use super::Auth;
use super::account::signed_out;
use super::session::Client;
use crate::audit::{self, Action, Event};
use crate::problem::{ApiError, Code};

/// A session as its owner sees it.
#[derive(Debug, Serialize)]
pub struct SessionInfo {
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    created_at: String,
    last_used_at: String,
    expires_at: String,
    /// Address from which it began; empty over the admin socket.
    address: String,
    /// What the client says it is.
    device: String,
    method: String,
}

impl Auth {
    /// The sessions of a user that run, newest first.
    pub async fn sessions_of(&self, user: &str, current: &str) -> Result<Vec<SessionInfo>, ApiError> {
        let sessions = self.0.store.sessions_of(user).await?;
        let info = |session: alyx_store::RunningSession| SessionInfo {
            current: session.id == current,
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            address: session.ip,
            device: session.user_agent,
            method: session.method,
        };
        Ok(sessions.into_iter().map(info).collect())
    }

    /// The caller's own sessions.
    pub async fn own_sessions(&self, who: &Identity) -> Result<Vec<SessionInfo>, ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        self.sessions_of(&user.id, &user.session).await
    }

    /// Ends one of the caller's own sessions.
    pub async fn end_own_session(&self, who: &Identity, id: &str, client: &Client) -> Result<(), ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        let event = Event::new(Action::SessionEnd, who, client).target(format!("session:{id}"));
        let ended = audit::with(&self.0.store, event).end_session_of(&user.id, id).await?;
        match ended {
            Some(_) => Ok(()),
            None => Err(ApiError::new(Code::SessionNotFound, "No session of yours with this id runs.")),
        }
    }

    /// Ends all of the caller's own sessions.
    pub async fn logout_all(&self, who: &Identity, client: &Client) -> Result<(), ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        self.end_all(&user.id, Action::SessionEndAll, who, client).await
    }

    /// Ends all sessions of a user. Their access tokens are refused from then on.
    pub(super) async fn end_all(
        &self,
        user: &str,
        action: Action,
        who: &Identity,
        client: &Client,
    ) -> Result<(), ApiError> {
        let event = Event::new(action, who, client).target(format!("user:{user}"));
        audit::with(&self.0.store, event).end_user_sessions(user).await?;
        Ok(())
    }
}
