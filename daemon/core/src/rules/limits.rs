//! Bounds of rules. Together they are the cost limit: a rule's text, its tree and the work of one
//! evaluation are all bounded, so that no accepted rule can exhaust stack, memory or time.

/// Longest text of a rule. Unit: bytes. Bounds the parser's recursion as well.
pub(super) const SOURCE_MAX_BYTES: usize = 4096;

/// Deepest nesting of brackets. Found before the parser runs, which recurses for each.
pub(super) const BRACKET_DEPTH_MAX: usize = 20;

/// Most operators, members and brackets in a row between two of `&& || , ? :`, with those inside the
/// brackets: how deep the parser nests.
pub(super) const CHAIN_MAX: usize = 50;

/// Most `?:` in a rule; each nests the next.
pub(super) const CHOICES_MAX: usize = 20;

/// Stack of the parser. Four times what the deepest accepted text took in an unoptimised build;
/// memory is used only as far as it is reached.
pub(super) const PARSER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Deepest checked tree. Chains of `&&` and `||` count by their logarithm, others by their length.
pub(super) const DEPTH_MAX: usize = 64;

/// Most expressions in a rule.
pub(super) const NODES_MAX: usize = 1000;

/// Deepest nesting of `exists`, `all` and `exists_one`.
pub(super) const MACRO_DEPTH_MAX: usize = 2;

/// Most `collection(…)` in a rule.
pub(super) const LOOKUPS_MAX: usize = 10;

/// Most lookups made for one decision, loops counted each time round.
pub(super) const LOOKUPS_MADE_MAX: u32 = 50;

/// Most expressions evaluated for one decision, loops counted each time round.
pub(super) const STEPS_MAX: u32 = 100_000;

/// Largest compiled pattern of `matches`. Unit: bytes.
pub(super) const PATTERN_MAX_BYTES: usize = 256 * 1024;

/// Longest SQL text of one rule. Unit: bytes. Far below what SQLite accepts.
pub(super) const SQL_MAX_BYTES: usize = 64 * 1024;
