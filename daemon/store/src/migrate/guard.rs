//! What statements of a migration file may do: read and write documents. The shape of tables is the
//! schema's business, `_alyx_…` tables are ours, and the transaction is not theirs to end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_core::sql::quote;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::Error;
use crate::tables::REVISION;

/// What is said about statements that change the shape of the database.
const SHAPES: &str = "change tables, indexes, views or triggers; schema.yaml does that";

/// Switches between our statements, which may do everything, and theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    confined: bool,
    /// Tables that confined statements write.
    written: BTreeSet<String>,
    /// What was refused last, for the message.
    refused: Option<String>,
}

impl Guard {
    /// Has every statement that is prepared from now on ask us.
    pub(crate) fn install(&self, connection: &mut Connection) -> Result<(), Error> {
        let guard = self.clone();
        Ok(connection.authorizer(Some(move |context: AuthContext<'_>| guard.authorize(&context)))?)
    }

    /// Ends that.
    pub(crate) fn remove(connection: &mut Connection) -> Result<(), Error> {
        Ok(connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?)
    }

    /// Runs statements of a project; the answer is how many documents they wrote.
    pub(super) fn run(&self, connection: &Connection, statements: &str) -> Result<u64, Error> {
        let before = connection.total_changes();
        self.confined(|| Ok(connection.execute_batch(statements)?))?;
        let documents = connection.total_changes() - before;
        // Whoever has read one of these documents must learn that it is another one now.
        let written = std::mem::take(&mut self.state().written);
        for table in written {
            connection.execute_batch(&format!("UPDATE {} SET {REVISION} = {REVISION} + 1", quote(&table)))?;
        }
        Ok(documents)
    }

    /// Runs `work` confined.
    pub(super) fn confined<O>(&self, work: impl FnOnce() -> Result<O, Error>) -> Result<O, Error> {
        *self.state() = State { confined: true, ..State::default() };
        let outcome = work();
        let mut state = self.state();
        state.confined = false;
        match (outcome, state.refused.take()) {
            (Err(_), Some(refused)) => {
                Err(Error::Schema { reason: format!("statements of a migration may not {refused}") })
            }
            (outcome, _) => outcome,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.state();
        if !state.confined {
            return Authorization::Allow;
        }
        let internal = |name: &str| name.starts_with("_alyx") || name.starts_with("sqlite_");
        let refused = match &context.action {
            AuthAction::Select | AuthAction::Recursive | AuthAction::Function { .. } => None,
            AuthAction::Read { table_name, .. } if !internal(table_name) => None,
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. }
                if !internal(table_name) =>
            {
                state.written.insert((*table_name).to_owned());
                None
            }
            // How SQLite asks for permission to change the shape of a table.
            AuthAction::Insert { table_name: "sqlite_master" }
            | AuthAction::Delete { table_name: "sqlite_master" }
            | AuthAction::Update { table_name: "sqlite_master", .. } => Some(SHAPES.to_owned()),
            AuthAction::Read { table_name, .. }
            | AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. } => Some(format!("touch {table_name}")),
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
                Some("begin or end a transaction".to_owned())
            }
            AuthAction::Pragma { pragma_name, .. } => Some(format!("use PRAGMA {pragma_name}")),
            AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
                Some("attach another database".to_owned())
            }
            _ => Some(SHAPES.to_owned()),
        };
        match refused {
            None => Authorization::Allow,
            Some(refused) => {
                state.refused.get_or_insert(refused);
                Authorization::Deny
            }
        }
    }
}
