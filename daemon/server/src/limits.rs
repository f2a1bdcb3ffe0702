//! Every bound of the server that is not configuration.

use std::time::Duration;

/// Connections at once over all listeners.
pub const CONNECTIONS_MAX: usize = 12_288;

/// Files this process may have open, if the hard limit allows as many: connections, the database, two
/// for each worker.
pub const OPEN_FILES_MAX: u64 = 16_384;

/// Connections at once from one address; IPv6 counts by /64. Connections from trusted proxies and
/// over the admin socket do not count.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Headers of one request.
pub const HEADERS_MAX: usize = 100;

/// Request line and headers together. Unit: bytes.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Streams at once in one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 128;

/// Requests being answered at once over all connections; more are refused as `overloaded`.
pub const REQUESTS_MAX: usize = 4_096;

/// Time without a request after which an HTTP/2 connection is closed.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often an HTTP/2 client is asked whether it is still there.
pub const HTTP2_PING_PERIOD: Duration = Duration::from_secs(20);

/// Time it has to answer.
pub const HTTP2_PING_MAX: Duration = Duration::from_secs(20);

/// Streams that a client reset before we looked at them; one more ends the connection.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;

/// Streams that a client made us reset; one more ends the connection.
pub const HTTP2_OWN_RESETS_MAX: usize = 256;

/// What waits to be sent on one HTTP/2 stream. Unit: bytes.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// What the bodies of all requests in flight may take together; more are refused as `overloaded`. It
/// grows with the configured limit of one body. Unit: bytes.
pub const BODIES_MAX_BYTES: usize = 128 * 1024 * 1024;

/// What every body may have without counting. Unit: bytes.
pub const BODY_FREE_BYTES: usize = 16 * 1024;

/// Time that a client may leave an answer unread. Unlike the time for a request it starts anew with
/// every byte that is taken, because a large answer over a slow link is nobody's fault.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// What large answers that wait to be read may take together. Unit: bytes.
pub const ANSWERS_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Answers up to this size do not count. Unit: bytes.
pub const ANSWER_FREE_BYTES: usize = 64 * 1024;

/// After this the connection of an answer that was not read is closed.
pub const ANSWER_UNREAD_MAX: Duration = Duration::from_secs(300);

/// Query parameters of one request.
pub const QUERY_PARAMETERS_MAX: usize = 200;

/// Longest `X-Request-Id` taken from a client.
pub const REQUEST_ID_MAX_BYTES: usize = 64;

/// Time for requests in flight after the order to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// Longest password. Unit: bytes. Hashing cost does not depend on it, memory does.
pub const PASSWORD_MAX_BYTES: usize = 1_024;

/// How long after signing in somebody without a password may do what else would ask for it.
pub const CONFIRMATION_FRESH: Duration = Duration::from_secs(600);

/// How long the token for the first administrator is good after a start.
pub const SETUP_TOKEN_TTL: Duration = Duration::from_secs(3_600);

/// Longest `Authorization` token looked at. Unit: bytes.
pub const TOKEN_MAX_BYTES: usize = 4_096;

/// Passwords hashed at once, at most; each takes 19 MiB. One processor is always left to everything else
/// where there are several: of a thread that hashes the kernel takes a processor away only at its next
/// tick, however low its priority is, and whoever reads would wait for that.
pub const HASHES_AT_ONCE: usize = 4;

/// How long an answer that refuses an attempt to sign in, because there were too many, is held back:
/// whoever tries on and on is slowed down, and somebody who mistyped does not notice.
pub const HOLD_UP: Duration = Duration::from_millis(200);

/// Answers that are held back at once. Further ones go out at once, so nothing piles up.
pub const HELD_UP_MAX: usize = 256;

/// Niceness of the threads that hash, the most there is: of two threads that want a processor, one that
/// serves requests gets about 98 parts of 100 (`sched(7)`).
pub const HASHING_NICENESS: i32 = 19;

/// Longest body below `/api/auth/`, where everybody may send one: an address, a password, the fields of
/// an own account, what a passkey says. Unit: bytes.
pub const AUTH_BODY_MAX_BYTES: usize = 64 * 1024;

/// Callers that may wait for a hash before the answer is `overloaded`.
pub const HASHES_WAITING_MAX: usize = 256;

/// Users whose facts are kept in memory.
pub const USER_CACHE_MAX: usize = 10_000;

/// Sessions of one of them that are known to run.
pub const USER_CACHE_SESSIONS_MAX: usize = 32;

/// Buckets of the throttle; 16 bytes each. Beyond it those that say least are thrown out.
pub const THROTTLE_KEYS_MAX: usize = 100_000;

/// Attempts of an update that meets a newer revision.
pub const UPDATE_ATTEMPTS: u32 = 3;

/// Operations of one batch.
pub const BATCH_OPERATIONS_MAX: usize = 1_000;

/// Longest `Idempotency-Key`. Unit: bytes.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;

/// Time that a burst of file events may last before the schema is read again.
pub const WATCH_DEBOUNCE: Duration = Duration::from_millis(60);

/// Longest time that ceaseless file events put a reload off.
pub const WATCH_REST_MAX: Duration = Duration::from_millis(500);

/// Rows in one page of the audit log.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// How long an attempt at a job may last.
pub const JOB_LEASE: Duration = Duration::from_secs(15 * 60);

/// Time that running jobs get when the daemon stops.
pub const JOB_STOP_GRACE: Duration = Duration::from_secs(5);

/// Length of the reason why an attempt at a job failed. Unit: characters.
pub const JOB_ERROR_MAX_CHARS: usize = 1_000;

/// How often a write is tried while its hooks have to be asked again.
pub const HOOK_PASSES_MAX: u32 = 32;

/// How long events of the project are kept.
pub const EVENTS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The most that an event tells.
pub const EVENT_PAYLOAD_MAX_BYTES: usize = 64 << 10;

/// Jobs that may cause each other, one after the other: what is deeper is taken for a loop.
pub const JOB_DEPTH_MAX: u32 = 8;

/// How long jobs are kept that were done.
pub const JOBS_DONE_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// How long jobs are kept that were given up.
pub const JOBS_DEAD_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Length of the name of an API key. Unit: characters.
pub const API_KEY_NAME_MAX_CHARS: usize = 100;

/// Scopes of an API key.
pub const API_KEY_SCOPES_MAX: usize = 50;

/// Longest life of a deploy token.
pub const DEPLOY_TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Longest time for which the secret before a rotation stays good.
pub const API_KEY_OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Length of a secret of functions. A private key with its certificates fits. Unit: bytes.
pub const SECRET_MAX_BYTES: usize = 64 * 1024;

/// Users in one page of the administrators' list.
pub const USERS_PAGE_MAX: u32 = 1_000;

/// How often old rows are removed.
pub const RETENTION_PERIOD: Duration = Duration::from_secs(600);

/// How long the answer to a request with an `Idempotency-Key` is given again.
pub const ANSWERS_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Bytes of the write-ahead log that may be in no segment while none can be written.
pub const UNKEPT_LOG_MAX: u64 = 256 << 20;

/// How often it is looked whether a backup is due.
pub const BACKUP_CHECK_PERIOD: Duration = Duration::from_secs(60);

/// Backups that may be kept.
pub const BACKUPS_MAX: u32 = 10_000;

/// Changes in one answer of the feed, if nothing else is asked for.
pub const CHANGES_PAGE_DEFAULT: u32 = 100;

/// Changes in one answer of the feed; more only if one transaction has more.
pub const CHANGES_PAGE_MAX: u32 = 1_000;

/// Longest time that an answer of the feed waits for a change. Unit: seconds. Proxies commonly cut off
/// after 60.
pub const CHANGES_WAIT_MAX_S: u32 = 55;

/// What is kept of a `User-Agent`.
pub const USER_AGENT_MAX_BYTES: usize = 256;

/// Processor time of one program of a build. Unit: seconds.
pub const BUILD_CPU_MAX_S: u64 = 300;

/// Private memory of one program of a build; the Go linker needs a tenth of it. Unit: bytes.
pub const BUILD_MEMORY_MAX_BYTES: u64 = 3 * 1024 * 1024 * 1024;

/// Largest file that a build may write. Unit: bytes.
pub const BUILD_FILE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Languages of a request that are looked at for a mail.
pub const MAIL_LOCALES_MAX: usize = 8;

/// Largest template of a mail. Unit: bytes.
pub const MAIL_TEMPLATE_MAX_BYTES: u64 = 256 * 1024;

/// Time for handing one mail over, from connecting to the server's last word.
pub const MAIL_SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Mails sent at once.
pub const MAILS_AT_ONCE: u32 = 4;

/// Longest wait before a mail is tried again.
pub const MAIL_RETRY_MAX: Duration = Duration::from_secs(3_600);

/// Mails kept as files, newest last.
pub const MAIL_FILES_MAX: usize = 500;

/// How long a link that verifies an address is good.
pub const VERIFY_LINK_TTL: Duration = Duration::from_secs(24 * 3_600);

/// How long a link that sets a password or changes an address is good.
pub const RESET_LINK_TTL: Duration = Duration::from_secs(3_600);

/// How long a code to sign in is good.
pub const CODE_TTL: Duration = Duration::from_secs(10 * 60);

/// How often a code, or a second factor after one sign-in, may be tried.
pub const CODE_ATTEMPTS: u32 = 5;

/// How long after the first factor the second one may be shown.
pub const SECOND_FACTOR_TTL: Duration = Duration::from_secs(5 * 60);

/// Questions for a second factor of one account within an hour.
pub const SECOND_FACTOR_QUESTIONS_MAX: u32 = 300;

/// How long a mail that tells of something done is worth sending.
pub const NOTICE_TTL: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Recovery codes of an account.
pub const RECOVERY_CODES: usize = 10;

/// Largest form of a page. Unit: bytes.
pub const FORM_MAX_BYTES: usize = 16 * 1024;
/// Counters of wrong guesses. Beyond it those that end first are thrown out.
pub const LOCKOUTS_MAX: usize = 20_000;

/// Longest name of an account that is counted as it is.
pub const LOCKOUT_NAME_MAX_BYTES: usize = 320;

/// First wait after too many wrong guesses; each further one doubles it.
pub const LOCKOUT_FIRST: Duration = Duration::from_secs(15);

/// How long a device is known after a sign-in on it.
pub const DEVICE_KEPT_FOR: Duration = Duration::from_secs(180 * 24 * 3_600);

/// Leading zero bits that solve a challenge: about a second in a browser.
pub const CHALLENGE_BITS: u32 = 16;

/// Those of the hardest one.
pub const CHALLENGE_BITS_MAX: u32 = 22;

/// Solved challenges that are remembered until they expire.
pub const CHALLENGES_USED_MAX: usize = 100_000;

/// How long a challenge for a passkey is good.
pub const PASSKEY_CHALLENGE_TTL: Duration = Duration::from_secs(5 * 60);

/// Challenges for passkeys of one account within an hour.
pub const PASSKEY_CHALLENGES_MAX: u32 = 300;

/// Passkeys of one account.
pub const PASSKEYS_MAX: u32 = 20;

/// Id of a credential (Web Authentication Level 3 §4). Unit: bytes.
pub const PASSKEY_CREDENTIAL_MAX_BYTES: usize = 1_023;

/// What a browser says of a ceremony. Unit: bytes.
pub const PASSKEY_CLIENT_DATA_MAX_BYTES: usize = 4_096;

/// What an authenticator says. Unit: bytes.
pub const PASSKEY_DATA_MAX_BYTES: usize = 16 * 1_024;

/// A signature; that of an RSA key of 8,192 bits is the longest. Unit: bytes.
pub const PASSKEY_SIGNATURE_MAX_BYTES: usize = 1_024;

/// Ways to reach an authenticator that are kept.
pub const PASSKEY_TRANSPORTS_MAX: usize = 8;

/// Name of a passkey. Unit: characters.
pub const PASSKEY_NAME_MAX: usize = 100;

/// Access tokens whose signature is remembered to be right; each takes about half a kilobyte.
pub const VERIFIED_TOKENS_MAX: usize = 8_192;

/// Bytes of a subscription's id.
pub const REALTIME_ID_MAX_BYTES: usize = 64;

/// Bytes of the name of what is broadcast.
pub const REALTIME_EVENT_MAX_BYTES: usize = 64;

/// Bytes of the state of somebody in a channel.
pub const REALTIME_STATE_MAX_BYTES: usize = 4 * 1024;

/// How many may be in one channel.
pub const REALTIME_PRESENT_MAX: usize = 1_000;

/// What is held of a channel for somebody to whom nothing can be told at the moment.
pub const REALTIME_HELD_MAX: usize = 64;

/// Documents that a subscription holds.
pub const REALTIME_LIMIT_MAX: u32 = 500;

/// How long what was told is remembered for clients that come back.
pub const REALTIME_LINGER: Duration = Duration::from_secs(60);

/// Views that are remembered for them.
pub const REALTIME_PAST_MAX: usize = 8;

/// Pause after a read that failed.
pub const REALTIME_RETRY: Duration = Duration::from_millis(200);

/// How often subscriptions are looked at whose rules depend on the time.
pub const REALTIME_TIMED_EVERY: Duration = Duration::from_secs(10);

/// Reads for subscriptions at once, so that there is room for others.
pub const REALTIME_READS_MAX: usize = 4;

/// How long a client whose token has ended may take to send another.
pub const REALTIME_REAUTH_MAX: Duration = Duration::from_secs(60);

/// How long there may be no room in the queue of a connection.
pub const REALTIME_SLOW_MAX: Duration = Duration::from_secs(30);

/// How long a connection that is to end may take to be told so.
pub const REALTIME_CLOSE_MAX: Duration = Duration::from_secs(2);

/// Bytes that a WebSocket may hold that the kernel does not take.
pub const REALTIME_WRITE_MAX_BYTES: usize = 128 * 1024 * 1024;

/// What is read and kept of an answer to a request of ours. Unit: bytes.
pub const OUTBOUND_ANSWER_MAX_BYTES: usize = 4 * 1_024;

/// Longest wait for a connection to somebody else, resolving the name included.
pub const OUTBOUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection to somebody else is kept for the next request.
pub const OUTBOUND_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Deliveries of webhooks that go on at once.
pub const DELIVERIES_AT_ONCE: u32 = 32;

/// What is kept of a request that a webhook made. Unit: bytes.
pub const DELIVERY_REQUEST_MAX_BYTES: usize = 16 * 1_024;

/// How long the log of deliveries is kept.
pub const DELIVERIES_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Schedules that are fired in one go.
pub const SCHEDULES_AT_ONCE: u32 = 100;

/// Time after which schedules are looked at again, because the clock may have been set.
pub const SCHEDULES_LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Runs of a schedule that may wait or go on where it lets them.
pub const SCHEDULE_OPEN_MAX: u32 = 1_000;

/// Next runs of a schedule that are shown.
pub const SCHEDULE_NEXT_RUNS: usize = 5;

/// Schedules, those of the schema and those of administrators together.
pub const SCHEDULES_MAX: usize = 1_000;

/// Longest body of a request to an inbound webhook. Unit: bytes.
pub const INBOUND_BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Shortest secret that a sender may sign with, where it is not of a form of its own. Unit: bytes.
pub const INBOUND_SECRET_MIN_BYTES: usize = 16;

/// Signatures of one request that are looked at.
pub const INBOUND_SIGNATURES_MAX: usize = 16;

/// Longest id of a delivery. Unit: bytes.
pub const INBOUND_ID_MAX_BYTES: usize = 256;

/// Wrong signatures from one address in a minute that are answered as such.
pub const INBOUND_WRONG_PER_MINUTE: u32 = 60;

/// How long a delivery whose sender waits is held for one that is worked on, if nothing else is heard of it:
/// longer than any function may wait and run.
pub const INBOUND_OPEN_MAX: Duration = Duration::from_secs(3_600);

/// Jobs of inbound webhooks that run at once.
pub const INBOUND_AT_ONCE: u32 = 16;

/// How often it is looked whether the clock was set.
pub const CLOCK_LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Smallest jump of the clock that is told of: less than this is how clocks are adjusted.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(30);

/// How long a jump of the clock is told of.
pub const CLOCK_JUMP_TOLD_FOR: Duration = Duration::from_secs(300);
