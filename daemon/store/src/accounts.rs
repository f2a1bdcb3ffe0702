//! Accounts: a document in `users` and, apart from it, what its owner signs in with. The password's
//! hash is in a table of the store, so no document, list, rule or change can ever carry it.
//!
//! Two addresses that differ in case or surrounding space are one account; an index on the document's
//! own field sees to it, whichever way the document is written.

use std::fmt;
use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::identity::ADMIN_ROLE;
use alyx_core::schema::Collection;
use alyx_core::value::Value;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::documents::{self, Where};
use crate::limits::PAGE_MAX;
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, challenges, factors, mail, sessions};

/// Collection of the accounts' documents; every schema has it.
const USERS: &str = "users";

/// Who counts as administrator. Both the index and the question have it as a literal, else SQLite could
/// not tell that the one answers the other.
const IS_ADMIN: &str = "\"role\" = 'admin' AND NOT \"disabled\"";
const _: () = assert!(matches!(ADMIN_ROLE.as_bytes(), b"admin"));

/// Indexes of `users` that no schema declares: addresses are unique by the form in which they are looked
/// up, and whether there is an administrator can be asked by anybody, so it must be cheap.
pub(crate) fn indexes() -> String {
    format!(
        "CREATE UNIQUE INDEX \"_alyx_users_email\" ON \"users\" (lower(trim(\"email\")));
         CREATE INDEX \"_alyx_users_admins\" ON \"users\" (\"id\") WHERE {IS_ADMIN};"
    )
}

/// A new account.
#[derive(Clone)]
pub struct NewAccount {
    /// Its document, made for the applied schema's `users`.
    pub document: Document,
    /// `None`: it cannot sign in with a password.
    pub password_hash: Option<String>,
}

/// An account.
#[derive(Clone)]
pub struct Account {
    /// The collection the document's values belong to.
    pub users: Arc<Collection>,
    /// Its document.
    pub document: Document,
    /// `None`: it cannot sign in with a password.
    pub password_hash: Option<String>,
}

/// From when on the password of a new account signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordCounts {
    /// At once.
    #[default]
    AtOnce,
    /// Once the address is verified: until then the account has none.
    OnceVerified,
}

/// Input of [`create`].
#[derive(Debug)]
pub(crate) struct Create {
    account: NewAccount,
    counts: PasswordCounts,
    actor: String,
}

/// Input of [`set_password_hash`].
pub(crate) struct SetPasswordHash {
    user_id: String,
    hash: Option<String>,
}

/// Input of [`rehash_password`].
pub(crate) struct RehashPassword {
    user_id: String,
    before: String,
    after: String,
}

/// Input of [`change`].
#[derive(Debug)]
pub(crate) struct Change {
    user_id: String,
    expected_rev: i64,
    account: NewAccount,
    actor: String,
}

impl Store {
    /// Creates an account.
    ///
    /// Fails with [`Error::UniqueViolation`] (field `email`) if the address has one, and as any other
    /// document does. What else is wrong with it comes first, so it is told whether or not the address has
    /// an account.
    pub fn create_account(
        &self,
        account: NewAccount,
        counts: PasswordCounts,
        actor: String,
    ) -> Pending<Account> {
        self.write(Command::CreateAccount, Create { account, counts, actor })
    }

    /// The account with this address, in whatever case and spacing.
    pub fn account_by_email(&self, email: &str) -> Pending<Option<Account>> {
        let email = Value::Text(email.to_owned());
        self.read_accounts("WHERE lower(trim(d.\"email\")) = lower(trim(?))", vec![email], |accounts| {
            accounts.pop()
        })
    }

    /// The account of this user.
    pub fn account_by_id(&self, user_id: &str) -> Pending<Option<Account>> {
        let user_id = Value::Text(user_id.to_owned());
        self.read_accounts("WHERE d.\"id\" = ?", vec![user_id], |accounts| accounts.pop())
    }

    /// Accounts in order of their ids; of those only such whose address contains `search`, in whatever
    /// case, or whose id it is. `limit` up to [`PAGE_MAX`].
    pub fn list_accounts(&self, search: &str, limit: u32, offset: u64) -> Pending<Vec<Account>> {
        let limit = Value::Integer(i64::from(limit.min(PAGE_MAX)));
        let offset = Value::Integer(i64::try_from(offset).unwrap_or(i64::MAX));
        if search.is_empty() {
            let condition = "ORDER BY d.\"id\" LIMIT ? OFFSET ?";
            return self.read_accounts(condition, vec![limit, offset], std::mem::take);
        }
        let search = Value::Text(search.to_owned());
        let condition = "WHERE instr(lower(d.\"email\"), lower(?)) > 0 OR d.\"id\" = ?
                         ORDER BY d.\"id\" LIMIT ? OFFSET ?";
        self.read_accounts(condition, vec![search.clone(), search, limit, offset], std::mem::take)
    }

    /// How many accounts may administer: have the role `admin` and are not disabled.
    pub fn admin_count(&self) -> Pending<u64> {
        self.read(Lane::Point, |connection| {
            let count: i64 = connection
                .prepare_cached(&format!("SELECT count(*) FROM \"users\" WHERE {IS_ADMIN}"))?
                .query_row([], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Sets or removes the password, and ends all sessions.
    ///
    /// Fails with [`Error::NotFound`].
    pub fn set_password_hash(&self, user_id: &str, hash: Option<String>) -> Pending<()> {
        self.write(Command::SetPasswordHash, SetPasswordHash { user_id: user_id.to_owned(), hash })
    }

    /// Replaces the hash of the same password; sessions go on. Does nothing if the hash is no longer
    /// `before`.
    pub fn rehash_password(&self, user_id: &str, before: String, after: String) -> Pending<()> {
        let user_id = user_id.to_owned();
        self.write(Command::RehashPassword, RehashPassword { user_id, before, after })
    }

    /// Replaces the document, which is at `expected_rev`, and the password of an account, and ends all
    /// its sessions.
    ///
    /// Fails with [`Error::NotFound`], [`Error::Stale`], and as [`Store::create_account`].
    pub fn change_account(
        &self,
        user_id: &str,
        expected_rev: i64,
        account: NewAccount,
        actor: String,
    ) -> Pending<Account> {
        let user_id = user_id.to_owned();
        self.write(Command::ChangeAccount, Change { user_id, expected_rev, account, actor })
    }

    fn read_accounts<O: Send + 'static>(
        &self,
        condition: &'static str,
        params: Vec<Value>,
        take: fn(&mut Vec<Account>) -> O,
    ) -> Pending<O> {
        let schema = self.schema();
        self.read(Lane::Point, move |connection| {
            let users = users_of(schema.as_deref())?;
            let condition = Where { text: condition, params: &params };
            let mut accounts = documents::select_where(connection, users, &condition)?
                .into_iter()
                .map(|document| with_password(connection, users, document))
                .collect::<Result<_, _>>()?;
            Ok(take(&mut accounts))
        })
    }
}

fn users_of(schema: Option<&alyx_core::schema::Schema>) -> Result<&Arc<Collection>, Error> {
    schema
        .and_then(|schema| schema.collections.get(USERS))
        .ok_or_else(|| Error::internal("find the accounts", "no schema is applied"))
}

/// Whether documents of this collection have accounts.
pub(crate) fn is_users(collection: &Collection) -> bool {
    collection.name == USERS
}

fn with_password(
    connection: &Connection,
    users: &Arc<Collection>,
    document: Document,
) -> Result<Account, Error> {
    let id = document.values[users.primary().0].as_text();
    let password_hash = connection
        .prepare_cached(
            "SELECT coalesce(password_hash, iif(?2, pending_hash, NULL))
             FROM _alyx_credentials WHERE user_id = ?1",
        )?
        .query_row(params![id, is_verified(users, &document)], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(Account { users: Arc::clone(users), document, password_hash })
}

pub(crate) fn create(session: &mut Session<'_>, input: Create) -> Result<Account, Error> {
    let Create { mut account, counts, actor } = input;
    let pending = match counts {
        PasswordCounts::AtOnce => None,
        PasswordCounts::OnceVerified => account.password_hash.take(),
    };
    let again = account.clone();
    match create_with(session, account, &actor) {
        Ok(account) => {
            keep_pending(session, &account, pending.as_deref())?;
            Ok(account)
        }
        Err(Error::UniqueViolation { fields }) if fields.iter().any(|field| field == "email") => {
            let free = with_free_address(session, again)?;
            // Whatever comes of it: the command fails, so nothing of it stays.
            create_with(session, free, &actor)?;
            Err(Error::UniqueViolation { fields })
        }
        Err(error) => Err(error),
    }
}

/// Keeps a password until the address of its account is verified.
fn keep_pending(session: &Session<'_>, account: &Account, hash: Option<&str>) -> Result<(), Error> {
    let id = account.document.values[account.users.primary().0].as_text();
    session
        .connection
        .prepare_cached("UPDATE _alyx_credentials SET pending_hash = ? WHERE user_id = ?")?
        .execute(params![hash, id])?;
    Ok(())
}

/// The same account with an address that nobody has.
fn with_free_address(session: &Session<'_>, mut account: NewAccount) -> Result<NewAccount, Error> {
    let users = users_of(session.schema)?;
    let id = account.document.values[users.primary().0].as_text().unwrap_or_default().to_owned();
    if let Some(email) = users.field("email").and_then(|(place, _)| account.document.values.get_mut(place)) {
        *email = Value::Text(format!("{id}@example.invalid"));
    }
    Ok(account)
}

/// Creates an account within a command.
pub(crate) fn create_with(
    session: &mut Session<'_>,
    account: NewAccount,
    actor: &str,
) -> Result<Account, Error> {
    let NewAccount { document, password_hash } = account;
    let users = Arc::clone(users_of(session.schema)?);
    let document = documents::insert(session, &users, document, actor)?;
    bind(session, &users, &document, password_hash.as_deref())?;
    Ok(Account { users, document, password_hash })
}

/// Whether a document of `users` says that its account is disabled.
pub(crate) fn is_disabled(users: &Collection, document: &Document) -> bool {
    let place = users.field("disabled").map(|(place, _)| place);
    place.is_some_and(|place| document.values.get(place) != Some(&Value::Integer(0)))
}

fn is_verified(users: &Collection, document: &Document) -> bool {
    let place = users.field("verified").map(|(place, _)| place);
    place.is_some_and(|place| document.values.get(place) == Some(&Value::Integer(1)))
}

/// Gives a new document of `users` its account.
pub(crate) fn bind(
    session: &Session<'_>,
    users: &Collection,
    document: &Document,
    password_hash: Option<&str>,
) -> Result<(), Error> {
    let id = document.values[users.primary().0].as_text();
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_credentials (user_id, password_hash, updated_at) VALUES (?, ?, ?)",
        )?
        .execute(params![id, password_hash, session.now])?;
    Ok(())
}

/// Ends the account of a user whose document goes.
pub(crate) fn unbind(session: &Session<'_>, user_id: &str) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("DELETE FROM _alyx_credentials WHERE user_id = ?")?
        .execute([user_id])?;
    sessions::end_all_of(session, user_id)?;
    challenges::forget(session, user_id, None)?;
    factors::remove_all_of(session, user_id)?;
    mail::remove_all_of(session, user_id)
}

pub(crate) fn set_password_hash(session: &mut Session<'_>, input: SetPasswordHash) -> Result<(), Error> {
    let updated = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_credentials SET password_hash = ?, pending_hash = NULL, updated_at = ?
             WHERE user_id = ?",
        )?
        .execute(params![input.hash, session.now, input.user_id])?;
    if updated != 1 {
        return Err(Error::NotFound);
    }
    sessions::end_all_of(session, &input.user_id)?;
    Ok(())
}

pub(crate) fn rehash_password(session: &mut Session<'_>, input: RehashPassword) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "UPDATE _alyx_credentials SET password_hash = ?, pending_hash = NULL
             WHERE user_id = ? AND coalesce(password_hash, pending_hash) = ?",
        )?
        .execute(params![input.after, input.user_id, input.before])?;
    Ok(())
}

pub(crate) fn change(session: &mut Session<'_>, input: Change) -> Result<Account, Error> {
    let Change { user_id, expected_rev, account: NewAccount { document, password_hash }, actor } = input;
    let users = Arc::clone(users_of(session.schema)?);
    let before = documents::fetch(session.connection, &users, &user_id)?.ok_or(Error::NotFound)?;
    if before.rev != expected_rev {
        return Err(Error::Stale);
    }
    let document = documents::replace(session, &users, &before, document, &actor)?;
    set_password_hash(session, SetPasswordHash { user_id, hash: password_hash.clone() })?;
    Ok(Account { users, document, password_hash })
}

/// Sets fields of a user's document.
fn edit(
    session: &Session<'_>,
    user_id: &str,
    values: &[(&str, Value)],
    actor: &str,
) -> Result<Account, Error> {
    let users = Arc::clone(users_of(session.schema)?);
    let before = documents::fetch(session.connection, &users, user_id)?.ok_or(Error::NotFound)?;
    let mut after = before.clone();
    for (field, value) in users.fields.iter().zip(&mut after.values) {
        if let Some((_, new)) = values.iter().find(|(name, _)| field.name == *name) {
            value.clone_from(new);
        } else if field.on_update_now {
            *value = Value::Text(session.now.clone());
        }
    }
    let document = documents::replace(session, &users, &before, after, actor)?;
    with_password(session.connection, &users, document)
}

/// What has to be known of an account before something about it is changed.
pub(crate) struct Owner {
    pub(crate) email: String,
    pub(crate) verified: bool,
    pub(crate) disabled: bool,
}

/// The owner of an account, `None` if there is no such account.
pub(crate) fn owner(session: &Session<'_>, user_id: &str) -> Result<Option<Owner>, Error> {
    let users = users_of(session.schema)?;
    let Some(document) = documents::fetch(session.connection, users, user_id)? else { return Ok(None) };
    let value = |name| users.field(name).and_then(|(place, _)| document.values.get(place));
    Ok(Some(Owner {
        email: value("email").and_then(Value::as_text).unwrap_or_default().to_owned(),
        verified: is_verified(users, &document),
        disabled: is_disabled(users, &document),
    }))
}

/// Whether two addresses are one account's; the same as the index says.
pub(crate) fn same_address(one: &str, other: &str) -> bool {
    let spaces = |address: &str| address.trim_matches(' ').to_ascii_lowercase();
    spaces(one) == spaces(other)
}

/// Marks the address as the owner's, which is `email` from now on if that is some.
pub(crate) fn verify(
    session: &Session<'_>,
    user_id: &str,
    email: Option<&str>,
    actor: &str,
) -> Result<Account, Error> {
    let mut values = vec![("verified", Value::Integer(1))];
    values.extend(email.map(|email| ("email", Value::Text(email.to_owned()))));
    edit(session, user_id, &values, actor)
}

/// Replaces the password, also of an account that had none.
pub(crate) fn replace_password(session: &Session<'_>, user_id: &str, hash: &str) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("UPDATE _alyx_credentials SET password_hash = ?, updated_at = ? WHERE user_id = ?")?
        .execute(params![hash, session.now, user_id])?;
    Ok(())
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NewAccount").finish_non_exhaustive()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Account").field("rev", &self.document.rev).finish_non_exhaustive()
    }
}
