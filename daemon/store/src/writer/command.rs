//! Everything that can be written: a closed list. Each command is its input and the way to its caller.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use alyx_core::document::Document;

use super::{Loan, Session, lease};
use crate::accounts::{self, Account};
use crate::challenges::{self, Challenge};
use crate::factors::{self, TotpAttempt};
use crate::handle::Reply;
use crate::limits::WRITE_WAIT_MAX;
use crate::passkeys::{self, AddedPasskey, NewPasskey};
use crate::sessions::{self, Rotation};
use crate::{
    AuditRow, Error, answers, api_keys, audit, changes, documents, executions, identities, jobs, keys,
    lockouts, mail, migrate, secrets, transaction,
};

/// A command in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: Command,
    /// After this it is not begun any more.
    pub(crate) deadline: Option<Instant>,
    /// Row of the audit log that goes into the same transaction.
    pub(crate) audit: Option<Arc<AuditRow>>,
    /// How many jobs caused each other before it.
    pub(crate) depth: u32,
    /// After this there were too many before it.
    pub(crate) patience_ends: Instant,
}

impl Queued {
    /// A command without a deadline of its own.
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            deadline: None,
            audit: None,
            depth: 0,
            patience_ends: Instant::now() + WRITE_WAIT_MAX,
        }
    }
}

/// Everything that can be written.
#[derive(Debug)]
pub(crate) enum Command {
    CreateDocument(Job<documents::Create, Document>),
    UpdateDocument(Job<documents::Update, Document>),
    DeleteDocument(Job<documents::Delete, ()>),
    Migrate(Job<migrate::Migration, migrate::Report>),
    Restore(Job<migrate::Restore, ()>),
    Ship(Job<(), ()>),
    CreateAccount(Job<accounts::Create, Account>),
    SetPasswordHash(Job<accounts::SetPasswordHash, ()>),
    RehashPassword(Job<accounts::RehashPassword, ()>),
    ChangeAccount(Job<accounts::Change, Account>),
    StartSession(Job<sessions::Start, ()>),
    RotateRefresh(Job<sessions::Rotate, Rotation>),
    EndSession(Job<sessions::End, Option<String>>),
    EndUserSessions(Job<sessions::EndUser, u64>),
    SaveLockout(Job<lockouts::LockoutRow, ()>),
    ClearLockouts(Job<lockouts::Clear, ()>),
    AddDevice(Job<lockouts::NewDevice, ()>),
    TrimSessions(Job<sessions::Trim, u64>),
    LinkIdentity(Job<identities::Link, ()>),
    CreateLinkedAccount(Job<identities::Create, Account>),
    UnlinkIdentity(Job<identities::Unlink, bool>),
    AddSigningKey(Job<keys::SigningKey, ()>),
    RotateSigningKey(Job<keys::Rotate, ()>),
    RecordExecutions(Job<Vec<executions::ExecutionRow>, ()>),
    TrimExecutions(Job<executions::Trim, u64>),
    TrimChanges(Job<changes::Trim, u64>),
    SetConsumer(Job<changes::SetConsumer, ()>),
    RemoveConsumer(Job<String, bool>),
    AppendAudit(Job<AuditRow, ()>),
    TrimAudit(Job<audit::Trim, u64>),
    TrimAnswers(Job<answers::Trim, u64>),
    Transact(Job<transaction::Program, ()>),
    /// Carried out by the writer itself, see `lease`.
    Lend(Job<Loan, ()>),
    IssueChallenge(Job<challenges::Issue, ()>),
    AttemptChallenge(Job<challenges::Find, Option<Challenge>>),
    TakeChallenge(Job<challenges::Find, bool>),
    ConsumeChallenge(Job<challenges::Find, Option<Challenge>>),
    RedeemChallenge(Job<challenges::Redeem, Option<Account>>),
    EnrollTotp(Job<factors::Enroll, bool>),
    AttemptTotp(Job<factors::Attempt, TotpAttempt>),
    AcceptTotp(Job<factors::Accept, bool>),
    RemoveTotp(Job<factors::Remove, bool>),
    RemoveFactors(Job<factors::Remove, bool>),
    SetRecoveryCodes(Job<factors::SetRecoveryCodes, ()>),
    UseRecoveryCode(Job<factors::UseRecoveryCode, bool>),
    AddPasskey(Job<NewPasskey, AddedPasskey>),
    UsePasskey(Job<passkeys::Use, bool>),
    RenamePasskey(Job<passkeys::Rename, bool>),
    RemovePasskey(Job<passkeys::Remove, bool>),
    SettleMail(Job<mail::Settle, ()>),
    RetryMail(Job<mail::Retry, ()>),
    TrimMails(Job<mail::Trim, u64>),
    SetSecret(Job<secrets::Set, ()>),
    RemoveSecret(Job<String, ()>),
    AddApiKey(Job<api_keys::ApiKey, ()>),
    RotateApiKey(Job<api_keys::Rotate, ()>),
    RemoveApiKey(Job<String, ()>),
    TouchApiKey(Job<api_keys::Touch, ()>),
    AddJobs(Job<Vec<jobs::NewJob>, u64>),
    TakeJobs(Job<jobs::Take, Vec<jobs::DueJob>>),
    SettleJob(Job<jobs::Settle, ()>),
    ReturnJobs(Job<jiff::Timestamp, u64>),
    TrimJobs(Job<jobs::Trim, u64>),
    ReplayJob(Job<String, ()>),
    PurgeJobs(Job<jobs::Purge, u64>),
}

/// A command's input and the way to its caller.
pub(crate) struct Job<I, O> {
    pub(crate) input: I,
    pub(crate) reply: Reply<O>,
}

/// Told the outcome of the commit, answers the caller.
type Answer = Box<dyn FnOnce(Option<&Error>)>;

/// A command that ran and waits for the commit.
pub(crate) struct Settled {
    error: Option<Error>,
    answer: Answer,
}

/// Calls the same method on whichever job it is.
macro_rules! with_job {
    ($command:expr, $job:ident => $body:expr) => {
        match $command {
            Command::CreateDocument($job) => $body,
            Command::UpdateDocument($job) => $body,
            Command::DeleteDocument($job) => $body,
            Command::Migrate($job) => $body,
            Command::Restore($job) => $body,
            Command::Ship($job) => $body,
            Command::CreateAccount($job) => $body,
            Command::SetPasswordHash($job) => $body,
            Command::RehashPassword($job) => $body,
            Command::ChangeAccount($job) => $body,
            Command::StartSession($job) => $body,
            Command::RotateRefresh($job) => $body,
            Command::EndSession($job) => $body,
            Command::EndUserSessions($job) => $body,
            Command::SaveLockout($job) => $body,
            Command::ClearLockouts($job) => $body,
            Command::AddDevice($job) => $body,
            Command::TrimSessions($job) => $body,
            Command::LinkIdentity($job) => $body,
            Command::CreateLinkedAccount($job) => $body,
            Command::UnlinkIdentity($job) => $body,
            Command::AddSigningKey($job) => $body,
            Command::RotateSigningKey($job) => $body,
            Command::RecordExecutions($job) => $body,
            Command::TrimExecutions($job) => $body,
            Command::TrimChanges($job) => $body,
            Command::SetConsumer($job) => $body,
            Command::RemoveConsumer($job) => $body,
            Command::AppendAudit($job) => $body,
            Command::TrimAudit($job) => $body,
            Command::TrimAnswers($job) => $body,
            Command::Transact($job) => $body,
            Command::Lend($job) => $body,
            Command::IssueChallenge($job) => $body,
            Command::AttemptChallenge($job) => $body,
            Command::TakeChallenge($job) => $body,
            Command::ConsumeChallenge($job) => $body,
            Command::RedeemChallenge($job) => $body,
            Command::EnrollTotp($job) => $body,
            Command::AttemptTotp($job) => $body,
            Command::AcceptTotp($job) => $body,
            Command::RemoveTotp($job) => $body,
            Command::RemoveFactors($job) => $body,
            Command::SetRecoveryCodes($job) => $body,
            Command::UseRecoveryCode($job) => $body,
            Command::AddPasskey($job) => $body,
            Command::UsePasskey($job) => $body,
            Command::RenamePasskey($job) => $body,
            Command::RemovePasskey($job) => $body,
            Command::SettleMail($job) => $body,
            Command::RetryMail($job) => $body,
            Command::TrimMails($job) => $body,
            Command::SetSecret($job) => $body,
            Command::RemoveSecret($job) => $body,
            Command::AddApiKey($job) => $body,
            Command::RotateApiKey($job) => $body,
            Command::RemoveApiKey($job) => $body,
            Command::TouchApiKey($job) => $body,
            Command::AddJobs($job) => $body,
            Command::TakeJobs($job) => $body,
            Command::SettleJob($job) => $body,
            Command::ReturnJobs($job) => $body,
            Command::TrimJobs($job) => $body,
            Command::ReplayJob($job) => $body,
            Command::PurgeJobs($job) => $body,
        }
    };
}

impl Command {
    /// Whether it shares its transaction with no other command.
    pub(crate) const fn is_alone(&self) -> bool {
        matches!(self, Self::Migrate(_) | Self::Restore(_) | Self::Ship(_))
    }

    /// Whether it borrows the writer.
    pub(crate) const fn is_loan(&self) -> bool {
        matches!(self, Self::Lend(_))
    }

    /// Answers without having run.
    pub(crate) fn refuse(self, error: Error) {
        with_job!(self, job => job.reply.send(Err(error)));
    }

    pub(crate) fn run(self, session: &mut Session<'_>) -> Settled {
        match self {
            Self::CreateDocument(job) => job.run(session, documents::create),
            Self::UpdateDocument(job) => job.run(session, documents::update),
            Self::DeleteDocument(job) => job.run(session, documents::delete),
            Self::Migrate(job) => job.run(session, migrate::migrate),
            // The writer does these itself, outside of any transaction.
            Self::Restore(job) => job.run(session, |_, _| Err(Error::Busy)),
            Self::Ship(job) => job.run(session, |_, ()| Err(Error::Busy)),
            Self::CreateAccount(job) => job.run(session, accounts::create),
            Self::SetPasswordHash(job) => job.run(session, accounts::set_password_hash),
            Self::RehashPassword(job) => job.run(session, accounts::rehash_password),
            Self::ChangeAccount(job) => job.run(session, accounts::change),
            Self::StartSession(job) => job.run(session, sessions::start),
            Self::RotateRefresh(job) => job.run(session, sessions::rotate),
            Self::EndSession(job) => job.run(session, sessions::end),
            Self::EndUserSessions(job) => job.run(session, sessions::end_user),
            Self::SaveLockout(job) => job.run(session, lockouts::save),
            Self::ClearLockouts(job) => job.run(session, lockouts::clear),
            Self::AddDevice(job) => job.run(session, lockouts::add_device),
            Self::TrimSessions(job) => job.run(session, sessions::trim),
            Self::LinkIdentity(job) => job.run(session, identities::link),
            Self::CreateLinkedAccount(job) => job.run(session, identities::create_account),
            Self::UnlinkIdentity(job) => job.run(session, identities::unlink),
            Self::AddSigningKey(job) => job.run(session, keys::add),
            Self::RotateSigningKey(job) => job.run(session, keys::rotate),
            Self::RecordExecutions(job) => job.run(session, executions::record),
            Self::TrimExecutions(job) => job.run(session, executions::trim),
            Self::TrimChanges(job) => job.run(session, changes::trim),
            Self::SetConsumer(job) => job.run(session, changes::set_consumer),
            Self::RemoveConsumer(job) => job.run(session, changes::remove_consumer),
            Self::AppendAudit(job) => job.run(session, audit::append),
            Self::TrimAudit(job) => job.run(session, audit::trim),
            Self::TrimAnswers(job) => job.run(session, answers::trim),
            Self::Transact(job) => job.run(session, transaction::run),
            Self::Lend(job) => job.run(session, lease::refuse),
            Self::IssueChallenge(job) => job.run(session, challenges::issue),
            Self::AttemptChallenge(job) => job.run(session, challenges::attempt),
            Self::TakeChallenge(job) => job.run(session, challenges::take),
            Self::ConsumeChallenge(job) => job.run(session, challenges::consume),
            Self::RedeemChallenge(job) => job.run(session, challenges::redeem),
            Self::EnrollTotp(job) => job.run(session, factors::enroll),
            Self::AttemptTotp(job) => job.run(session, factors::attempt),
            Self::AcceptTotp(job) => job.run(session, factors::accept),
            Self::RemoveTotp(job) => job.run(session, factors::remove),
            Self::RemoveFactors(job) => job.run(session, factors::remove_all),
            Self::SetRecoveryCodes(job) => job.run(session, factors::set_recovery_codes),
            Self::UseRecoveryCode(job) => job.run(session, factors::use_recovery_code),
            Self::AddPasskey(job) => job.run(session, passkeys::add),
            Self::UsePasskey(job) => job.run(session, passkeys::use_one),
            Self::RenamePasskey(job) => job.run(session, passkeys::rename),
            Self::RemovePasskey(job) => job.run(session, passkeys::remove),
            Self::SettleMail(job) => job.run(session, mail::settle),
            Self::RetryMail(job) => job.run(session, mail::retry),
            Self::TrimMails(job) => job.run(session, mail::trim),
            Self::SetSecret(job) => job.run(session, secrets::set),
            Self::RemoveSecret(job) => job.run(session, secrets::remove),
            Self::AddApiKey(job) => job.run(session, api_keys::add),
            Self::RotateApiKey(job) => job.run(session, api_keys::rotate),
            Self::RemoveApiKey(job) => job.run(session, api_keys::remove),
            Self::TouchApiKey(job) => job.run(session, api_keys::touch),
            Self::AddJobs(job) => job.run(session, jobs::add_all),
            Self::TakeJobs(job) => job.run(session, jobs::take),
            Self::SettleJob(job) => job.run(session, jobs::settle),
            Self::ReturnJobs(job) => job.run(session, jobs::give_back),
            Self::TrimJobs(job) => job.run(session, jobs::trim),
            Self::ReplayJob(job) => job.run(session, jobs::replay),
            Self::PurgeJobs(job) => job.run(session, jobs::purge),
        }
    }
}

impl<I, O: 'static> Job<I, O> {
    fn run(self, session: &mut Session<'_>, work: fn(&mut Session<'_>, I) -> Result<O, Error>) -> Settled {
        let Self { input, reply } = self;
        let answer = session.savepoint(|session| {
            let output = work(session, input)?;
            if let Some(row) = session.audit.take() {
                audit::append(session, row)?;
            }
            Ok(output)
        });
        Settled {
            error: answer.as_ref().err().cloned(),
            answer: Box::new(move |commit| reply.send(commit.map_or(answer, |error| Err(error.clone())))),
        }
    }
}

impl Settled {
    pub(crate) const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(crate) fn answer(self, commit: Option<&Error>) {
        (self.answer)(commit);
    }
}

/// Inputs hold documents and secrets, so only the existence of one is shown.
impl<I, O> fmt::Debug for Job<I, O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Job")
    }
}
