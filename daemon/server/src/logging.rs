//! Log lines on standard error, readable or as JSON; where that is systemd's journal, readable ones are
//! entries with fields of their own. Secrets, tokens, bodies and addresses of persons are never logged;
//! whoever logs sees to it.

use std::io::IsTerminal;

use nix::sys::stat::fstat;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Logging};

/// Starts logging. Panics become log lines as well.
pub fn start(logging: &Logging) {
    // Our own level; of libraries only what needs attention.
    let filter = EnvFilter::new(format!("warn,alyxd={0},alyx_store={0},alyx_core={0}", logging.level));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match logging.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => match journal() {
            Some(entries) => registry.with(entries).init(),
            None => registry.with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal())).init(),
        },
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(place, "panicked: {message}");
    }));
}

/// Writes entries to the journal if it is what standard error goes to: `$JOURNAL_STREAM` is the device and
/// inode of what systemd connected (systemd.exec(5)).
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let stderr = fstat(std::io::stderr()).ok()?;
    if stream != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
        return None;
    }
    // A journal that takes no entries still takes lines.
    let layer = tracing_journald::layer().ok()?.with_syslog_identifier("alyxd".to_owned());
    let levels =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    Some(layer.with_field_prefix(Some("ALYX".to_owned())).with_priority_mappings(levels))
}
