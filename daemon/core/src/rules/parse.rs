//! Text to syntax tree, by the crate `cel` with no macros: `has`, `exists` and the like stay the
//! calls they were written as. Size and nesting are bounded before the parser sees the text.

use cel::common::ast::{IdedExpr, SourceInfo};

use super::limits::{PARSER_STACK_BYTES, SOURCE_MAX_BYTES};
use super::place::{Refusal, offset_of};
use super::scan::check_nesting;

/// A parsed text.
pub(super) struct Parsed {
    pub(super) root: IdedExpr,
    source: SourceInfo,
}

impl Parsed {
    /// Where an expression stands, in bytes. Operators stand at their sign, calls at their bracket.
    pub(super) fn offset(&self, id: u64) -> usize {
        self.source.offset_for(id).map_or(0, |(start, _)| start as usize)
    }
}

/// Parses a rule.
pub(super) fn parse(text: &str) -> Result<Parsed, Refusal> {
    if text.len() > SOURCE_MAX_BYTES {
        return Err(Refusal::new(0, format!("the rule is longer than {SOURCE_MAX_BYTES} bytes")));
    }
    if text.trim().is_empty() {
        return Err(Refusal::new(0, "the rule is empty").hint("`true` allows everyone, `false` nobody"));
    }
    check_nesting(text)?;
    let (root, source) = with_parser_stack(|| {
        let parser = cel::Env::default().parser();
        let parser = parser.enable_optional_syntax(false).enable_ident_escape_syntax(true);
        parser.parse_with_source_info(text).map_err(|errors| refusal(text, &errors))
    })?;
    Ok(Parsed { root, source })
}

/// Runs the parser on a thread with a stack of known size: it passes through some twenty functions
/// for every bracket, and the caller's stack may be anything.
fn with_parser_stack<T: Send>(parse: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    let failed = || Refusal::new(0, "the parser could not run");
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, parse)
            .map_err(|_| failed())?
            .join()
            .unwrap_or_else(|_| Err(failed()))
    })
}

/// The first error, without the parser's list of tokens.
fn refusal(text: &str, errors: &cel::ParseErrors) -> Refusal {
    let Some(error) = errors.errors.first() else { return Refusal::new(0, "the rule is not valid CEL") };
    if error.pos.0 < 1 {
        return Refusal::new(0, "the rule is nested too deeply");
    }
    let message = error.msg.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    Refusal::new(offset_of(text, error.pos.0, error.pos.1), format!("syntax error: {message}"))
}
