//! How accounts are made: what is chosen where nobody chose, and what does not go together.

use super::super::{Anonymous, MailTransport, Registration};
use super::Loader;

impl Loader<'_> {
    /// Where mail goes out, addresses are verified before they sign in, so that registering does not tell
    /// which of them have an account.
    pub(super) fn complete_registration(&mut self) {
        let (auth, transport) = (&mut self.config.auth, self.config.mail.transport);
        let is_anonymous = auth.anonymous == Anonymous::Allowed;
        if !self.registration_is_set && transport == MailTransport::Smtp && !is_anonymous {
            auth.registration = Registration::Verified;
        }
        if auth.registration != Registration::Verified {
            return;
        }
        if transport == MailTransport::None {
            let message = "sends links, and mail.transport is none".to_owned();
            let accepted = Some("open or closed, or another mail.transport".to_owned());
            self.problem("configuration".to_owned(), "auth.registration", message, accepted);
        }
        if is_anonymous {
            let message = "would tell, when accounts are claimed, which addresses have one; \
                           auth.registration is verified, which hides that";
            let accepted = Some("refused, or auth.registration: open".to_owned());
            self.problem("configuration".to_owned(), "auth.anonymous", message.to_owned(), accepted);
        }
    }
}
