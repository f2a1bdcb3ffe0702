//! Log lines on standard error, readable or as JSON. Secrets, tokens, bodies and addresses of persons
//! are never logged; whoever logs sees to it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};

/// Starts logging. Panics become log lines as well.
pub fn start(logging: &Logging) {
    // Our own level; of libraries only what needs attention.
    let filter = EnvFilter::new(format!("warn,alyxd={0},alyx_store={0},alyx_core={0}", logging.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.format {
        LogFormat::Text => {
            builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
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
