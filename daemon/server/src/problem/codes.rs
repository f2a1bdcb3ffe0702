//! The list of codes that error answers carry. They are API: a code is never renamed, and
//! `docs/errors.md` lists exactly these.

macro_rules! codes {
    ($($variant:ident $status:literal $text:literal,)*) => {
        /// A stable code of an error answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $text] $variant,)* }

        impl Code {
            /// All of them, in order of the list.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As in the `code` member.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

codes! {
    InvalidRequest 400 "invalid_request",
    InvalidJson 400 "invalid_json",
    InvalidParameter 400 "invalid_parameter",
    InvalidCursor 400 "invalid_cursor",
    ScanTooLarge 400 "scan_too_large",
    InvalidLink 400 "invalid_link",
    AnswerTooLarge 400 "answer_too_large",
    Unauthenticated 401 "unauthenticated",
    InvalidToken 401 "invalid_token",
    InvalidCredentials 401 "invalid_credentials",
    InvalidRefreshToken 401 "invalid_refresh_token",
    InvalidOtp 401 "invalid_code",
    InvalidPasskey 401 "invalid_passkey",
    InvalidSignature 401 "invalid_signature",
    Forbidden 403 "forbidden",
    RegistrationClosed 403 "registration_closed",
    AnonymousRefused 403 "anonymous_refused",
    SetupRefused 403 "setup_refused",
    ConfirmationFailed 403 "confirmation_failed",
    CsrfRejected 403 "csrf_rejected",
    ChallengeRequired 403 "challenge_required",
    NotFound 404 "not_found",
    CollectionNotFound 404 "collection_not_found",
    ProviderNotFound 404 "provider_not_found",
    DocumentNotFound 404 "document_not_found",
    SessionNotFound 404 "session_not_found",
    ExecutionNotFound 404 "execution_not_found",
    BackupNotFound 404 "backup_not_found",
    ScheduleNotFound 404 "schedule_not_found",
    MailNotFound 404 "mail_not_found",
    ApiKeyNotFound 404 "api_key_not_found",
    JobNotFound 404 "job_not_found",
    ChannelNotFound 404 "channel_not_found",
    ConnectionNotFound 404 "connection_not_found",
    SecretNotFound 404 "secret_not_found",
    TotpNotEnabled 404 "totp_not_enabled",
    NoSecondFactor 404 "no_second_factor",
    PasskeyNotFound 404 "passkey_not_found",
    HookNotFound 404 "hook_not_found",
    WebhookNotFound 404 "webhook_not_found",
    DeliveryNotFound 404 "delivery_not_found",
    EventNotFound 404 "event_not_found",
    MethodNotAllowed 405 "method_not_allowed",
    RequestTimeout 408 "request_timeout",
    Conflict 409 "conflict",
    HookExists 409 "hook_exists",
    HookDeclared 409 "hook_declared",
    WebhookExists 409 "webhook_exists",
    WebhookDeclared 409 "webhook_declared",
    DeliveryOpen 409 "delivery_open",
    UniqueViolation 409 "unique_violation",
    DocumentReferenced 409 "document_referenced",
    BackupDamaged 409 "backup_damaged",
    ScheduleExists 409 "schedule_exists",
    ScheduleDeclared 409 "schedule_declared",
    ScheduleRunning 409 "schedule_running",
    LastSignIn 409 "last_sign_in",
    TransactionEnded 409 "transaction_ended",
    TransactionOpen 409 "transaction_open",
    TotpEnabled 409 "totp_enabled",
    PasskeyExists 409 "passkey_exists",
    PasskeyLimit 409 "passkey_limit",
    MailExpired 409 "mail_expired",
    InvocationGone 410 "invocation_gone",
    ResyncRequired 410 "resync_required",
    PreconditionFailed 412 "precondition_failed",
    BodyTooLarge 413 "body_too_large",
        NeedsConfirmation 409 "needs_confirmation",
    MigrationImpossible 409 "migration_impossible",
    NothingToRollBack 409 "nothing_to_roll_back",
    SchemaInvalid 422 "schema_invalid",
    UnsupportedMediaType 415 "unsupported_media_type",
    ValidationFailed 422 "validation_failed",
    ReferenceNotFound 422 "reference_not_found",
    IdempotencyKeyReused 422 "idempotency_key_reused",
    TooManyRequests 429 "too_many_requests",
    LockedOut 429 "locked_out",
    HeadTooLarge 431 "head_too_large",
    Internal 500 "internal",
    HookFailed 502 "hook_failed",
    ProviderFailed 502 "provider_failed",
    Overloaded 503 "overloaded",
    MailNotConfigured 503 "mail_not_configured",
    PasskeysNotConfigured 503 "passkeys_not_configured",
    InboundNotReady 503 "inbound_not_ready",
    DatabaseReadOnly 503 "database_read_only",
    DatabaseFailing 503 "database_failing",
    DatabaseReplaced 503 "database_replaced",
    DatabaseDamaged 503 "database_damaged",
    DatabaseBusy 503 "database_busy",
    BackupTargetFailing 503 "backup_target_failing",
    DeadlineExceeded 504 "deadline_exceeded",
    DatabaseFull 507 "database_full",
    HookLoop 508 "hook_loop",
    FunctionNotFound 404 "function_not_found",
    FunctionDenied 403 "function_denied",
    FunctionError 500 "function_error",
    FunctionLoadFailed 500 "function_load_failed",
    FunctionBuildFailed 500 "function_build_failed",
    FunctionCrashed 502 "function_crashed",
    FunctionExited 502 "function_exited",
    FunctionProtocolError 502 "function_protocol_error",
    FunctionOutputTooLarge 502 "function_output_too_large",
    FunctionWorkerLost 503 "function_worker_lost",
    FunctionQueueFull 503 "function_queue_full",
    FunctionsUnavailable 503 "functions_unavailable",
    FunctionTimeout 504 "function_timeout",
    FunctionCpuTime 504 "function_cpu_time",
    FunctionOutOfMemory 507 "function_out_of_memory",
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn the_page_lists_exactly_these() {
        let page = include_str!("../../../../docs/errors.md");
        let documented: Vec<(&str, u16)> = page
            .lines()
            .filter_map(|line| {
                let (code, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
                Some((code, rest.split(' ').next()?.parse().ok()?))
            })
            .collect();
        let listed: Vec<(&str, u16)> = Code::ALL.iter().map(|code| (code.as_str(), code.status())).collect();
        assert_eq!(documented, listed);
    }
}
