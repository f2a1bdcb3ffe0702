//! Hooks that are asked before an account is made and before somebody signs in.

use alyx_core::document::{Access, Document, Patch};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::{AuthAction, Collection};
use alyx_store::Account;

use super::Auth;
use super::session::Client;
use crate::clock;
use crate::documents::to_json;
use crate::hooks::{Doer, Moment, Told};
use crate::problem::{ApiError, Code};

impl Auth {
    /// The document of a new account as the hooks want it. They may refuse, and may not change the address.
    pub(super) async fn ask_to_register(
        &self,
        users: &Collection,
        mut document: Document,
        who: &Identity,
        client: &Client,
    ) -> Result<Document, ApiError> {
        let Some(hooks) = self.0.hooks.get() else { return Ok(document) };
        let moment = Moment::Auth(AuthAction::Register);
        let address = users.field("email").map(|(place, _)| place);
        for hook in &*hooks.before(&moment) {
            let told = told(&moment, users, &document);
            let answer = hooks.clone().ask(hook.clone(), told, doer(who, client)).await?;
            let Some(changes) = answer else { continue };
            let patch = Patch::parse(users, changes.get().as_bytes(), Access::Admin);
            let wrong = |detail: String| ApiError::new(Code::HookFailed, detail);
            let changed = patch.and_then(|patch| patch.apply(users, &document, &clock::now_text())).map_err(
                |error| wrong(format!("The hook {hook} wants an account that is not valid: {error}.")),
            )?;
            if address.is_some_and(|place| changed.values[place] != document.values[place]) {
                return Err(wrong(format!("The hook {hook} wants to change the address, which it may not.")));
            }
            document = changed;
        }
        Ok(document)
    }

    /// Asks the hooks whether somebody may sign in.
    pub(super) async fn ask_to_sign_in(&self, account: &Account, client: &Client) -> Result<(), ApiError> {
        let Some(hooks) = self.0.hooks.get() else { return Ok(()) };
        let moment = Moment::Auth(AuthAction::Login);
        for hook in &*hooks.before(&moment) {
            let told = told(&moment, &account.users, &account.document);
            let answer = hooks.clone().ask(hook.clone(), told, doer(&Identity::Anonymous, client)).await?;
            if answer.is_some() {
                let detail = format!("The hook {hook} wants to change the account, which it may not here.");
                return Err(ApiError::new(Code::HookFailed, detail));
            }
        }
        Ok(())
    }
}

fn doer(who: &Identity, client: &Client) -> Doer {
    let facts = RequestFacts {
        ip: client.address.map(|address| address.to_string()).unwrap_or_default(),
        time: clock::now_text(),
        request_id: client.request_id.clone(),
        ..RequestFacts::default()
    };
    Doer { identity: who.clone(), facts }
}

fn told(moment: &Moment, users: &Collection, document: &Document) -> Told {
    let json = to_json(users, document, &Access::Admin.into());
    let id = document.values[users.primary().0].as_text().unwrap_or_default().to_owned();
    let doc = Some(String::from_utf8_lossy(&json).into());
    Told { moment: moment.clone(), id, doc, old: None }
}
