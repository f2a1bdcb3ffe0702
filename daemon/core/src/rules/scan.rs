//! A first look at a rule's text that needs no stack: it refuses what the parser, which recurses,
//! could not survive. It knows texts, comments and brackets, and nothing else of the grammar.

use super::limits::{BRACKET_DEPTH_MAX, CHAIN_MAX, CHOICES_MAX};
use super::place::Refusal;

/// Refuses brackets, chains and choices that nest too deeply.
pub(super) fn check_nesting(text: &str) -> Result<(), Refusal> {
    let bytes = text.as_bytes();
    // The text itself and one entry per open bracket.
    let mut chains = vec![Chain::default()];
    let mut choices = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' | b'\'' => at = end_of_text(bytes, start),
            b'/' if bytes.get(at) == Some(&b'/') => {
                at += bytes[at..].iter().take_while(|byte| **byte != b'\n').count();
            }
            b'(' | b'[' | b'{' => {
                chains.push(Chain::default());
                if chains.len() > BRACKET_DEPTH_MAX + 1 {
                    return Err(Refusal::new(start, "brackets are nested too deeply"));
                }
            }
            b')' | b']' | b'}' if chains.len() > 1 => {
                // What the brackets hold hangs below the chain they are part of.
                let inner = chains.pop().unwrap_or_default();
                lengthen(&mut chains, inner.longest.max(inner.current) + 1, start)?;
            }
            b'&' | b'|' if bytes.get(at) == Some(&byte) => {
                at += 1;
                restart(&mut chains);
            }
            b',' | b':' => restart(&mut chains),
            b'?' => {
                choices += 1;
                if choices > CHOICES_MAX {
                    return Err(Refusal::new(start, "too many choices with ?: in one rule"));
                }
                restart(&mut chains);
            }
            b'=' | b'!' | b'<' | b'>' => {
                at += usize::from(bytes.get(at) == Some(&b'='));
                lengthen(&mut chains, 1, start)?;
            }
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' => lengthen(&mut chains, 1, start)?,
            b'i' if is_word_in(bytes, start) => lengthen(&mut chains, 1, start)?,
            _ => {}
        }
    }
    Ok(())
}

/// Links between two separators, those inside brackets included: a bound of the tree's depth.
#[derive(Clone, Copy, Default)]
struct Chain {
    current: usize,
    longest: usize,
}

fn lengthen(chains: &mut [Chain], links: usize, offset: usize) -> Result<(), Refusal> {
    if let Some(chain) = chains.last_mut() {
        chain.current += links;
        if chain.current > CHAIN_MAX {
            return Err(
                Refusal::new(offset, "too many operators in a row").hint("use `in` with a list, or brackets")
            );
        }
    }
    Ok(())
}

fn restart(chains: &mut [Chain]) {
    if let Some(chain) = chains.last_mut() {
        chain.longest = chain.longest.max(chain.current);
        chain.current = 0;
    }
}

/// Whether the operator `in` stands here.
fn is_word_in(bytes: &[u8], at: usize) -> bool {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    bytes.get(at + 1) == Some(&b'n') && !is_name(before) && !is_name(bytes.get(at + 2))
}

/// Where a text that starts at this quote ends; the end of all for one that does not.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let prefix = bytes[..start].iter().rev().take(2).take_while(|byte| byte.is_ascii_alphabetic());
    let raw = prefix.clone().any(|byte| matches!(byte, b'r' | b'R'));
    let triple = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if !raw => at += 1,
            b'\n' if !triple => return at,
            byte if byte == quote && !triple => return at + 1,
            _ if triple && bytes[at..].starts_with(&[quote; 3]) => return at + 3,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::check_nesting;

    #[test]
    fn only_nesting_counts() {
        let deep = |count: usize| "(".repeat(count);
        let long = |count: usize| format!("1{}", "+1".repeat(count));
        let flat = vec!["doc.a == auth.id"; 200].join(" || ");
        for (text, fits) in [
            (deep(20), true),
            (deep(21), false),
            (long(50), true),
            (long(51), false),
            (format!("{} && {}", long(50), long(50)), true),
            (flat, true),
            (format!("'{}'", deep(50)), true),
            (format!("r'\\' + {}", deep(50)), false),
            (format!("'\\'{}'", deep(50)), true),
            (format!("'''{}\n''''", deep(50)), true),
            (format!("// {}\n true", deep(50)), true),
            ("true?".repeat(20), true),
            ("true?".repeat(21), false),
        ] {
            assert_eq!(check_nesting(&text).is_ok(), fits, "{text}");
        }
    }
}
