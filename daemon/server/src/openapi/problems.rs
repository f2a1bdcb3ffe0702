//! Table of problems: those that each operation can answer with. The description lists exactly these statuses, and the
//! contract suite asks until it sees one that is missing here.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};

use crate::http::routes::{Access, Body, Route};
use crate::problem::Code;

/// Adds the problems of a route to its responses.
pub fn describe(route: &Route, responses: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes(route) {
        let named = by_status.entry(code.status()).or_default();
        if !named.contains(&code.as_str()) {
            named.push(code.as_str());
        }
    }
    for (status, codes) in by_status {
        let response = json!({
            "description": format!("A problem with the code {}", codes.join(" or ")),
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        responses.insert(status.to_string(), response);
    }
}

fn codes(route: &Route) -> Vec<Code> {
    // Any answer: what HTTP asks of a request, and a server that has no room or fails.
    let mut codes = vec![
        Code::InvalidRequest,
        Code::TooManyRequests,
        Code::HeadTooLarge,
        Code::Internal,
        Code::Overloaded,
    ];
    if route.body == Body::Any {
        codes.extend([Code::RequestTimeout, Code::BodyTooLarge, Code::InvalidParameter]);
    } else if route.body != Body::Nothing {
        codes.extend([
            Code::InvalidJson,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::ValidationFailed,
        ]);
    } else if route.method == Method::GET {
        codes.push(Code::InvalidParameter);
    }
    match route.access {
        // Only a signature counts.
        Access::Open if route.body == Body::Any => {}
        // Whoever sends a token is told when it is not valid, wherever it is sent.
        Access::Open => codes.push(Code::InvalidToken),
        Access::Rule => codes.extend([Code::Unauthenticated, Code::InvalidToken, Code::Forbidden]),
        Access::User => codes.extend([Code::Unauthenticated, Code::InvalidToken, Code::Forbidden]),
        Access::Admin => codes.extend([Code::Unauthenticated, Code::InvalidToken, Code::Forbidden]),
    }
    if route.path.starts_with("/api/") || route.operation == "receive" {
        codes.extend([
            Code::DatabaseBusy,
            Code::DatabaseFailing,
            Code::DatabaseDamaged,
            Code::DeadlineExceeded,
        ]);
        if route.method != Method::GET {
            codes.extend([Code::DatabaseReadOnly, Code::DatabaseFull, Code::DatabaseReplaced]);
        }
    }
    if route.path.contains("{id}") || route.path.contains("{name}") {
        codes.push(Code::NotFound);
    }
    codes.extend_from_slice(own(route));
    codes
}

/// What only this operation can answer.
fn own(route: &Route) -> &'static [Code] {
    match route.operation {
        "listDocuments" => &[Code::CollectionNotFound, Code::InvalidCursor, Code::AnswerTooLarge],
        "aggregateDocuments" => &[Code::CollectionNotFound],
        "listChanges" => &[Code::CollectionNotFound, Code::ResyncRequired],
        "openRealtime" => &[
            Code::Forbidden,
            Code::CollectionNotFound,
            Code::ChannelNotFound,
            Code::Conflict,
            Code::ValidationFailed,
        ],
        "broadcast" => &[Code::ChannelNotFound],
        "tellRealtime" => {
            &[Code::ConnectionNotFound, Code::CollectionNotFound, Code::ChannelNotFound, Code::Conflict]
        }
        "listBackups" | "createBackup" => &[Code::BackupTargetFailing],
        "pruneBackups" => &[Code::InvalidParameter, Code::BackupTargetFailing],
        "verifyBackup" => &[Code::BackupNotFound, Code::BackupDamaged, Code::BackupTargetFailing],
        "createDocument" => &[
            Code::HookFailed,
            Code::HookLoop,
            Code::UniqueViolation,
            Code::ReferenceNotFound,
            Code::Conflict,
            Code::InvalidParameter,
            Code::IdempotencyKeyReused,
        ],
        "getDocument" => &[Code::DocumentNotFound, Code::AnswerTooLarge],
        "updateDocument" | "replaceDocument" => &[
            Code::HookFailed,
            Code::HookLoop,
            Code::DocumentNotFound,
            Code::Conflict,
            Code::UniqueViolation,
            Code::ReferenceNotFound,
            Code::PreconditionFailed,
            Code::InvalidParameter,
        ],
        "deleteDocument" => &[
            Code::HookFailed,
            Code::HookLoop,
            Code::DocumentNotFound,
            Code::Conflict,
            Code::DocumentReferenced,
            Code::PreconditionFailed,
            Code::InvalidParameter,
        ],
        "updateDocuments" | "deleteDocuments" => &[
            Code::CollectionNotFound,
            Code::Conflict,
            Code::HookFailed,
            Code::HookLoop,
            Code::InvalidParameter,
            Code::UniqueViolation,
            Code::ReferenceNotFound,
            Code::DocumentReferenced,
        ],
        "batch" => &[
            Code::CollectionNotFound,
            Code::Conflict,
            Code::HookFailed,
            Code::HookLoop,
            Code::DocumentNotFound,
            Code::InvalidParameter,
            Code::UniqueViolation,
            Code::ReferenceNotFound,
            Code::DocumentReferenced,
            Code::PreconditionFailed,
            Code::IdempotencyKeyReused,
        ],
        "register" => &[Code::RegistrationClosed, Code::UniqueViolation, Code::HookFailed],
        "createUser" => &[Code::UniqueViolation],
        "migrationStatus" => &[],
        "planMigration" => &[Code::SchemaInvalid],
        "applyMigration" => &[Code::SchemaInvalid, Code::NeedsConfirmation, Code::MigrationImpossible],
        "rollBackMigration" => &[
            Code::SchemaInvalid,
            Code::NeedsConfirmation,
            Code::MigrationImpossible,
            Code::NothingToRollBack,
        ],
        "login" => &[Code::InvalidCredentials, Code::LockedOut, Code::ChallengeRequired, Code::HookFailed],
        "clearLockouts" | "listAudit" => &[Code::InvalidParameter],
        "anonymous" => &[Code::AnonymousRefused, Code::InvalidCredentials, Code::HookFailed],
        "setup" => &[Code::SetupRefused, Code::UniqueViolation, Code::InvalidCredentials, Code::HookFailed],
        "upgrade" => &[
            Code::Conflict,
            Code::UniqueViolation,
            Code::CsrfRejected,
            Code::InvalidCredentials,
            Code::HookFailed,
        ],
        "updateMe" => &[
            Code::Conflict,
            Code::UniqueViolation,
            Code::ReferenceNotFound,
            Code::ConfirmationFailed,
            Code::TotpNotEnabled,
            Code::CsrfRejected,
        ],
        "deleteMe" => &[
            Code::Conflict,
            Code::DocumentReferenced,
            Code::ConfirmationFailed,
            Code::TotpNotEnabled,
            Code::CsrfRejected,
        ],
        "logoutAll" => &[Code::CsrfRejected],
        "endSession" => &[Code::SessionNotFound, Code::CsrfRejected],
        "getUser" | "setUserPassword" | "listUserSessions" | "endUserSessions" => &[Code::DocumentNotFound],
        "updateUser" => {
            &[Code::DocumentNotFound, Code::Conflict, Code::UniqueViolation, Code::ReferenceNotFound]
        }
        "removeUserFactors" => &[Code::DocumentNotFound, Code::NoSecondFactor],
        "deleteUser" => &[Code::DocumentNotFound, Code::Conflict, Code::DocumentReferenced],
        "rotateSigningKeys" => &[Code::Conflict],
        "refresh" => &[Code::InvalidRefreshToken, Code::CsrfRejected],
        "logout" => &[Code::CsrfRejected],
        "getApiKey" | "revokeApiKey" | "rotateApiKey" => &[Code::ApiKeyNotFound],
        "getJob" => &[Code::JobNotFound],
        "replayJob" => &[Code::JobNotFound, Code::Conflict],
        "purgeJobs" => &[Code::InvalidParameter],
        "createHook" => &[Code::HookExists],
        "getHook" => &[Code::HookNotFound],
        "updateHook" | "deleteHook" => &[Code::HookNotFound, Code::HookDeclared],
        "createWebhook" => &[Code::WebhookExists],
        "getWebhook" | "listDeliveries" => &[Code::WebhookNotFound],
        "updateWebhook" | "deleteWebhook" => &[Code::WebhookNotFound, Code::WebhookDeclared],
        "redeliver" => &[Code::WebhookNotFound, Code::DeliveryNotFound, Code::Conflict],
        "receive" => &[
            Code::InvalidSignature,
            Code::NotFound,
            Code::DeliveryOpen,
            Code::InboundNotReady,
            Code::FunctionError,
            Code::FunctionCrashed,
            Code::FunctionQueueFull,
            Code::FunctionTimeout,
            Code::FunctionOutOfMemory,
        ],
        "publishEvent" => &[Code::EventNotFound],
        "deleteSecret" => &[Code::SecretNotFound],
        "listExecutions" | "getExecution" => &[Code::ExecutionNotFound],
        "invokeFunction" => &[
            Code::FunctionNotFound,
            Code::FunctionDenied,
            Code::FunctionError,
            Code::FunctionCrashed,
            Code::FunctionQueueFull,
            Code::FunctionTimeout,
            Code::FunctionOutOfMemory,
        ],
        "explainRule" => &[Code::CollectionNotFound],
        "createSchedule" => &[Code::ScheduleExists],
        "getSchedule" | "pauseSchedule" | "resumeSchedule" => &[Code::ScheduleNotFound],
        "deleteSchedule" => &[Code::ScheduleNotFound, Code::ScheduleDeclared],
        "triggerSchedule" => &[Code::ScheduleNotFound, Code::ScheduleRunning],
        _ => own_of_accounts(route),
    }
}

/// The same for providers, what goes by mail, and the second factor.
fn own_of_accounts(route: &Route) -> &'static [Code] {
    match route.operation {
        "startOAuth" => &[Code::ProviderNotFound, Code::ProviderFailed, Code::InvalidParameter],
        "linkOAuth" => &[
            Code::ProviderNotFound,
            Code::ProviderFailed,
            Code::InvalidParameter,
            Code::ConfirmationFailed,
            Code::TotpNotEnabled,
        ],
        "finishOAuth" => &[Code::ProviderNotFound],
        "exchangeOAuth" => &[Code::InvalidOtp, Code::HookFailed],
        "unlinkOAuth" => {
            &[Code::ProviderNotFound, Code::LastSignIn, Code::ConfirmationFailed, Code::TotpNotEnabled]
        }
        "requestVerification" | "forgotPassword" | "requestCode" => &[Code::MailNotConfigured],
        "confirmVerification" | "resetPassword" => &[Code::InvalidLink],
        "confirmEmail" => &[Code::InvalidLink, Code::UniqueViolation],
        "changeEmail" => &[Code::MailNotConfigured, Code::ConfirmationFailed, Code::TotpNotEnabled],
        "signInByCode" => &[Code::InvalidOtp, Code::InvalidCredentials, Code::HookFailed],
        "answerSecondFactor" => &[
            Code::InvalidOtp,
            Code::InvalidPasskey,
            Code::InvalidCredentials,
            Code::TotpNotEnabled,
            Code::HookFailed,
        ],
        "enrollTotp" => &[Code::ConfirmationFailed, Code::TotpNotEnabled, Code::TotpEnabled],
        "confirmTotp" => &[Code::InvalidOtp, Code::TotpNotEnabled, Code::TotpEnabled],
        "disableTotp" | "renewRecoveryCodes" => &[Code::ConfirmationFailed, Code::TotpNotEnabled],
        "beginPasskey" => {
            &[Code::ConfirmationFailed, Code::TotpNotEnabled, Code::PasskeyLimit, Code::PasskeysNotConfigured]
        }
        "registerPasskey" => {
            &[Code::InvalidPasskey, Code::PasskeyExists, Code::PasskeyLimit, Code::PasskeysNotConfigured]
        }
        "askForPasskey" => &[Code::InvalidOtp, Code::PasskeyNotFound, Code::PasskeysNotConfigured],
        "askForOwnPasskey" => &[Code::PasskeyNotFound, Code::PasskeysNotConfigured],
        "signInByPasskey" => &[
            Code::InvalidPasskey,
            Code::InvalidCredentials,
            Code::LockedOut,
            Code::ChallengeRequired,
            Code::HookFailed,
        ],
        "renamePasskey" => &[Code::PasskeyNotFound],
        "deletePasskey" => {
            &[Code::PasskeyNotFound, Code::ConfirmationFailed, Code::TotpNotEnabled, Code::LastSignIn]
        }
        "retryMail" => &[Code::MailNotFound, Code::MailExpired],
        "showPage" => &[Code::NotFound],
        "submitPage" => &[
            Code::NotFound,
            Code::UniqueViolation,
            Code::DatabaseBusy,
            Code::DatabaseReadOnly,
            Code::DatabaseFull,
            Code::DeadlineExceeded,
        ],
        _ => &[],
    }
}
