//! Reads the CBOR that authenticators write: the canonical form of CTAP2 (FIDO Client to Authenticator
//! Protocol 2.1 §8), which is integers, texts, byte strings, arrays, maps and booleans of a definite
//! length, each in its shortest form. Anything else is refused: nothing that an authenticator sends needs
//! it. It copies nothing, and never reads past what it was given.

/// How deep maps and arrays may lie in each other; CTAP2 allows four.
const DEPTH_MAX: u8 = 4;

/// What is read from.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// It is not CBOR of the canonical form, or not of the shape that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the CBOR that was expected")]
pub struct Malformed;

const INTEGER: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// # Errors
    /// If something follows.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// A number within 64 bits with a sign.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        let (kind, value) = self.head()?;
        let value = i64::try_from(value).map_err(|_| Malformed)?;
        match kind {
            INTEGER => Ok(value),
            // Of the number -1 - n, n is written (RFC 8949 §3.1).
            NEGATIVE => Ok(-1 - value),
            _ => Err(Malformed),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        match self.head()? {
            (BYTES, length) => self.take(length),
            _ => Err(Malformed),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        match self.head()? {
            (TEXT, length) => std::str::from_utf8(self.take(length)?).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }

    /// How many pairs follow. There may be fewer bytes than that many need; reading them tells.
    pub fn map(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            (MAP, pairs) => Ok(pairs),
            _ => Err(Malformed),
        }
    }

    /// Passes over one item, whatever it is.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: u8) -> Result<(), Malformed> {
        let (kind, value) = self.head()?;
        let items = match kind {
            INTEGER | NEGATIVE | SIMPLE => return Ok(()),
            BYTES => return self.take(value).map(drop),
            TEXT => return std::str::from_utf8(self.take(value)?).map(drop).map_err(|_| Malformed),
            ARRAY => value,
            MAP => value.checked_mul(2).ok_or(Malformed)?,
            _ => return Err(Malformed),
        };
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        // Every item takes a byte at least, so the input bounds how often this goes round.
        for _ in 0..items {
            self.skip_within(depth)?;
        }
        Ok(())
    }

    /// Kind and value of the next item's head.
    fn head(&mut self) -> Result<(u8, u64), Malformed> {
        let first = self.take(1)?[0];
        let (kind, short) = (first >> 5, first & 31);
        if kind == SIMPLE {
            // False, true, null: no other simple value is in use, and floats are not in this form.
            return if (20..=22).contains(&short) { Ok((kind, short.into())) } else { Err(Malformed) };
        }
        let (width, least) = match short {
            0..=23 => return Ok((kind, short.into())),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(Malformed),
        };
        let value = self.take(width)?.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(Malformed) } else { Ok((kind, value)) }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Reader};

    #[test]
    fn integers_have_one_form() {
        let check = |bytes: &[u8], expected| assert_eq!(Reader::new(bytes).integer(), expected, "{bytes:x?}");
        check(&[0], Ok(0));
        check(&[23], Ok(23));
        check(&[24, 24], Ok(24));
        check(&[24, 23], Err(Malformed));
        check(&[0x19, 1, 0], Ok(256));
        check(&[0x19, 0, 255], Err(Malformed));
        check(&[0x1a, 0, 1, 0, 0], Ok(65_536));
        check(&[0x1a, 0, 0, 255, 255], Err(Malformed));
        check(&[0x20], Ok(-1));
        check(&[0x39, 1, 0], Ok(-257));
        check(&[0x3b, 0x7f, 255, 255, 255, 255, 255, 255, 255], Ok(i64::MIN));
        check(&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0], Err(Malformed));
        check(&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0], Err(Malformed));
        check(&[28], Err(Malformed));
        check(&[31], Err(Malformed));
        check(&[], Err(Malformed));
    }

    #[test]
    fn strings_end_where_they_say() {
        assert_eq!(Reader::new(&[0x42, 1, 2]).bytes(), Ok([1, 2].as_slice()));
        assert_eq!(Reader::new(&[0x43, 1, 2]).bytes(), Err(Malformed));
        assert_eq!(Reader::new(&[0x62, b'o', b'k']).text(), Ok("ok"));
        assert_eq!(Reader::new(&[0x61, 0xff]).text(), Err(Malformed));
        // Of a length that is not said, and of one that no memory has.
        assert_eq!(Reader::new(&[0x5f, 0x41, 1, 0xff]).bytes(), Err(Malformed));
        assert_eq!(Reader::new(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]).bytes(), Err(Malformed));
    }

    #[test]
    fn depth_and_length_of_what_is_passed_over_are_bounded() {
        let check = |bytes: &[u8], expected| assert_eq!(Reader::new(bytes).skip(), expected, "{bytes:x?}");
        check(&[0xa1, 0x61, b'a', 0x81, 0xf5], Ok(()));
        check(&[0x81, 0x81, 0x81, 0x81, 0], Ok(()));
        check(&[0x81, 0x81, 0x81, 0x81, 0x81, 0], Err(Malformed));
        check(&[0x81; 100_000], Err(Malformed));
        check(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], Err(Malformed));
        check(&[0xbb, 255, 255, 255, 255, 255, 255, 255, 255], Err(Malformed));
        check(&[0xbf, 0xff], Err(Malformed));
        // A tag, a float, an undefined value.
        check(&[0xc0, 0], Err(Malformed));
        check(&[0xf9, 0, 0], Err(Malformed));
        check(&[0xf7], Err(Malformed));
    }
}
