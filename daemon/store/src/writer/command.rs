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
    AuditRow, Error, answers, api_keys, audit, changes, deliveries, documents, events, executions, hooks,
    identities, inbound, jobs, keys, lockouts, mail, migrate, schedules, secrets, transaction,
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

/// Makes of the table what each command has in common: the variant, running it, answering without.
macro_rules! commands {
    ($($(#[$note:meta])* $name:ident($input:ty) -> $output:ty = $work:expr,)*) => {
        /// Everything that can be written.
        #[derive(Debug)]
        pub(crate) enum Command {
            $($(#[$note])* $name(Job<$input, $output>),)*
        }

        impl Command {
            /// Answers without having run.
            pub(crate) fn refuse(self, error: Error) {
                match self {
                    $(Self::$name(job) => job.reply.send(Err(error)),)*
                }
            }

            pub(crate) fn run(self, session: &mut Session<'_>) -> Settled {
                match self {
                    $(Self::$name(job) => job.run(session, $work),)*
                }
            }
        }
    };
}

commands! {
    CreateDocument(documents::Create) -> Document = documents::create,
    UpdateDocument(documents::Update) -> Document = documents::update,
    DeleteDocument(documents::Delete) -> () = documents::delete,
    Migrate(migrate::Migration) -> migrate::Report = migrate::migrate,
    // The writer does these two itself, outside of any transaction.
    Restore(migrate::Restore) -> () = by_the_writer,
    Ship(()) -> () = by_the_writer,
    CreateAccount(accounts::Create) -> Account = accounts::create,
    SetPasswordHash(accounts::SetPasswordHash) -> () = accounts::set_password_hash,
    RehashPassword(accounts::RehashPassword) -> () = accounts::rehash_password,
    ChangeAccount(accounts::Change) -> Account = accounts::change,
    StartSession(sessions::Start) -> () = sessions::start,
    RotateRefresh(sessions::Rotate) -> Rotation = sessions::rotate,
    EndSession(sessions::End) -> Option<String> = sessions::end,
    EndUserSessions(sessions::EndUser) -> u64 = sessions::end_user,
    SaveLockout(lockouts::LockoutRow) -> () = lockouts::save,
    ClearLockouts(lockouts::Clear) -> () = lockouts::clear,
    AddDevice(lockouts::NewDevice) -> () = lockouts::add_device,
    TrimSessions(sessions::Trim) -> u64 = sessions::trim,
    LinkIdentity(identities::Link) -> () = identities::link,
    CreateLinkedAccount(identities::Create) -> Account = identities::create_account,
    UnlinkIdentity(identities::Unlink) -> bool = identities::unlink,
    AddSigningKey(keys::SigningKey) -> () = keys::add,
    RotateSigningKey(keys::Rotate) -> () = keys::rotate,
    RecordExecutions(Vec<executions::ExecutionRow>) -> () = executions::record,
    TrimExecutions(executions::Trim) -> u64 = executions::trim,
    TrimChanges(changes::Trim) -> u64 = changes::trim,
    SetConsumer(changes::SetConsumer) -> () = changes::set_consumer,
    RemoveConsumer(String) -> bool = changes::remove_consumer,
    AppendAudit(AuditRow) -> () = audit::append,
    TrimAudit(audit::Trim) -> u64 = audit::trim,
    TrimAnswers(answers::Trim) -> u64 = answers::trim,
    Transact(transaction::Program) -> () = transaction::run,
    // Carried out by the writer itself, see `lease`.
    Lend(Loan) -> () = lease::refuse,
    IssueChallenge(challenges::Issue) -> () = challenges::issue,
    AttemptChallenge(challenges::Find) -> Option<Challenge> = challenges::attempt,
    TakeChallenge(challenges::Find) -> bool = challenges::take,
    ConsumeChallenge(challenges::Find) -> Option<Challenge> = challenges::consume,
    RedeemChallenge(challenges::Redeem) -> Option<Account> = challenges::redeem,
    EnrollTotp(factors::Enroll) -> bool = factors::enroll,
    AttemptTotp(factors::Attempt) -> TotpAttempt = factors::attempt,
    AcceptTotp(factors::Accept) -> bool = factors::accept,
    RemoveTotp(factors::Remove) -> bool = factors::remove,
    RemoveFactors(factors::Remove) -> bool = factors::remove_all,
    SetRecoveryCodes(factors::SetRecoveryCodes) -> () = factors::set_recovery_codes,
    UseRecoveryCode(factors::UseRecoveryCode) -> bool = factors::use_recovery_code,
    AddPasskey(NewPasskey) -> AddedPasskey = passkeys::add,
    UsePasskey(passkeys::Use) -> bool = passkeys::use_one,
    RenamePasskey(passkeys::Rename) -> bool = passkeys::rename,
    RemovePasskey(passkeys::Remove) -> bool = passkeys::remove,
    RetryMail(mail::Retry) -> () = mail::retry,
    TrimMails(()) -> u64 = mail::trim,
    SetSecret(secrets::Set) -> () = secrets::set,
    RemoveSecret(String) -> () = secrets::remove,
    AddApiKey(api_keys::ApiKey) -> () = api_keys::add,
    RotateApiKey(api_keys::Rotate) -> () = api_keys::rotate,
    RemoveApiKey(String) -> () = api_keys::remove,
    TouchApiKey(api_keys::Touch) -> () = api_keys::touch,
    AddJobs(Vec<jobs::NewJob>) -> u64 = jobs::add_all,
    TakeJobs(jobs::Take) -> Vec<jobs::DueJob> = jobs::take,
    SettleJob(jobs::Settle) -> () = jobs::settle,
    ReturnJobs(jiff::Timestamp) -> u64 = jobs::give_back,
    TrimJobs(jobs::Trim) -> u64 = jobs::trim,
    ReplayJob(String) -> () = jobs::replay,
    PurgeJobs(jobs::Purge) -> u64 = jobs::purge,
    PublishEvent(events::EventRow) -> String = events::publish,
    TrimEvents(events::Trim) -> u64 = events::trim,
    DeclareSchedules(Vec<schedules::NewSchedule>) -> bool = schedules::declare,
    CreateSchedule(schedules::NewSchedule) -> () = schedules::create,
    DeleteSchedule(String) -> () = schedules::delete,
    PauseSchedule(schedules::Pause) -> () = schedules::pause,
    FireSchedule(schedules::Firing) -> schedules::Fired = schedules::fire,
    TriggerSchedule(schedules::Trigger) -> () = schedules::trigger,
    SetHook(hooks::Set) -> bool = hooks::set,
    RemoveHook((hooks::Made, String)) -> () = hooks::remove,
    RecordDelivery(deliveries::DeliveryRow) -> () = deliveries::record,
    TrimDeliveries(deliveries::Trim) -> u64 = deliveries::trim,
    Receive(inbound::Receipt) -> inbound::Received = inbound::receive,
    SettleReceipt(inbound::Settle) -> () = inbound::settle,
    ForgetOpenReceipts(()) -> u64 = inbound::forget_open,
    TrimReceipts(jiff::Timestamp) -> u64 = inbound::trim,
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

impl Command {
    /// Whether it shares its transaction with no other command.
    pub(crate) const fn is_alone(&self) -> bool {
        matches!(self, Self::Migrate(_) | Self::Restore(_) | Self::Ship(_))
    }

    /// Whether it borrows the writer.
    pub(crate) const fn is_loan(&self) -> bool {
        matches!(self, Self::Lend(_))
    }
}

/// What the writer itself carries out comes here only by mistake.
fn by_the_writer<I>(_: &mut Session<'_>, _: I) -> Result<(), Error> {
    Err(Error::Busy)
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
