//! Accounts that are written as documents: by administrators, by whom a rule of `users` lets, or along
//! with what they refer to. Each leaves a row in the audit log, in the transaction that writes.
//!
//! Unless they are an administrator, nobody ends their own account this way: that asks for a proof, which
//! a document's deletion has no place for, so a session that somebody found open could end the account.

use alyx_core::catalog::CollectionEntry;
use alyx_core::document::Document;

use super::USERS;
use super::writing::{Refusal, Writing, id_of, refuse};
use crate::audit::{Action, Event};
use crate::problem::{ApiError, Code};

impl Writing<'_, '_, '_> {
    /// After a change, if it was one of an account. The values may be private, so only names are told.
    pub(super) fn note_changed_account(
        &mut self,
        entry: &CollectionEntry,
        before: &Document,
        after: &Document,
    ) -> Result<(), Refusal> {
        if entry.collection.name != USERS {
            return Ok(());
        }
        let changed =
            entry.collection.fields.iter().enumerate().filter(|(place, field)| {
                !field.on_update_now && before.values[*place] != after.values[*place]
            });
        let names: Vec<&str> = changed.map(|(_, field)| field.name.as_str()).collect();
        let id = id_of(entry, after);
        let action = if self.is_own(&id) { Action::AccountUpdate } else { Action::UserUpdate };
        let event = Event::of_request(action, self.who, &self.facts).target(format!("user:{id}"));
        Ok(self.tx.audit(event.detail("fields", names).into_row())?)
    }

    /// After a deletion that ended these accounts.
    pub(super) fn note_ended_accounts(&mut self, ids: &[String]) -> Result<(), Refusal> {
        for id in ids {
            if self.is_own(id) && !self.who.is_admin() {
                let detail = "This would end your own account, which needs a proof: DELETE /api/auth/me.";
                return Err(refuse(ApiError::new(Code::Forbidden, detail)));
            }
            let event = Event::of_request(Action::UserDelete, self.who, &self.facts);
            self.tx.audit(event.target(format!("user:{id}")).into_row())?;
        }
        Ok(())
    }

    fn is_own(&self, id: &str) -> bool {
        self.who.user().is_some_and(|user| user.id == id)
    }
}
