//! The head of an HTTP/1 request: whether everybody reads it the same way, and where its body ends.

use super::gate::{REFUSED, Refusal};
use crate::limits::HEADERS_MAX;

/// Where the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes.
    Length(u64),
    /// It tells itself, or what follows is no body.
    Unknown,
}

/// The length of the head with its empty line, `None` while it is not complete. What was looked at
/// before, up to `seen`, is not looked at again.
pub fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    let before = |at: usize| at.checked_sub(1).map_or(0, |at| bytes[at]);
    for at in seen..bytes.len() {
        match (before(at), bytes[at]) {
            (b'\r', b'\n') if bytes[..=at].ends_with(b"\r\n\r\n") => return Ok(Some(at + 1)),
            (b'\r', b'\n') => {}
            (_, b'\n') => return Err(malformed("A line ends with a line feed alone.")),
            (b'\r', _) => return Err(malformed("A carriage return does not end a line.")),
            (_, 0) => return Err(malformed("There is a NUL in the head.")),
            _ => {}
        }
    }
    Ok(None)
}

/// Checks a complete head.
pub fn check(head: &[u8]) -> Result<Body, Refusal> {
    let lines = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = lines.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    check_request_line(request_line)?;
    let (mut length, mut chunked, mut upgrade, mut count) = (None, false, false, 0);
    for line in lines {
        count += 1;
        if count > HEADERS_MAX {
            return Err(Refusal::TooLarge);
        }
        let (name, value) = header(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(content_length(value)?).is_some() {
                return Err(malformed("Content-Length is there twice."));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(malformed("Transfer-Encoding may be `chunked` and nothing else."));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(malformed("There are both Content-Length and Transfer-Encoding.")),
        (_, true) if request_line.ends_with(b"1.0") => Err(malformed("HTTP/1.0 has no Transfer-Encoding.")),
        (_, true) => Ok(Body::Unknown),
        (None | Some(0), false) if upgrade => Ok(Body::Unknown),
        (Some(_), false) if upgrade => Err(malformed("A request for another protocol has no body.")),
        (length, false) => Ok(Body::Length(length.unwrap_or(0))),
    }
}

fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("The request line is not a method, a target and a version."));
    };
    if method.is_empty() || !method.iter().all(is_token) || method == REFUSED.as_bytes() {
        return Err(malformed("The method is not a name."));
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err(malformed("The version is neither HTTP/1.0 nor HTTP/1.1."));
    }
    let absolute = target.starts_with(b"http://") || target.starts_with(b"https://");
    let own = target.starts_with(b"/") || absolute || (target == b"*" && method == b"OPTIONS");
    if !own || !target.iter().all(u8::is_ascii_graphic) {
        return Err(malformed("The target is not a path."));
    }
    Ok(())
}

fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(malformed("A header goes on in the next line."));
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or(malformed("A header has no colon."))?);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err(malformed("The name of a header is not a name."));
    }
    let value = value[1..].trim_ascii();
    let plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if value.iter().all(plain) {
        Ok((name, value))
    } else {
        Err(malformed("A header holds control characters."))
    }
}

/// Digits and nothing else: no sign, no list, no other base. A number that is too large for the
/// library is refused here as well.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok()).filter(|number| *number <= u64::MAX - 2);
    number.ok_or(malformed("Content-Length is not a number."))
}

/// Source: RFC 9110 §5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

const fn malformed(detail: &'static str) -> Refusal {
    Refusal::Malformed(detail)
}

#[cfg(test)]
mod tests {
    use super::{Body, Refusal, check, find_end};
    use crate::limits::HEADERS_MAX;

    #[test]
    fn heads_end_with_an_empty_line() {
        let check = |bytes: &[u8], expected: Result<Option<usize>, ()>| {
            assert_eq!(find_end(bytes, 0).map_err(|_| ()), expected, "{}", bytes.escape_ascii());
        };
        check(b"", Ok(None));
        check(b"GET / HTTP/1.1\r\n", Ok(None));
        check(b"a\r\n\r\n", Ok(Some(5)));
        check(b"a\r\n\r\nrest\n", Ok(Some(5)));
        check(b"a\n", Err(()));
        check(b"a\r\n\n", Err(()));
        check(b"a\rb", Err(()));
        check(b"a\r\r\n", Err(()));
        check(b"a\0", Err(()));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let length = |length| Some(Body::Length(length));
        let check = |headers: &str, expected: Option<Body>| {
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
            assert_eq!(check(head.as_bytes()).ok(), expected, "{headers:?}");
        };
        check("", length(0));
        check("content-length: 5\r\n", length(5));
        check("Content-Length:5\r\n", length(5));
        check("content-length: 05\r\n", length(5));
        check("content-length: 18446744073709551613\r\n", length(u64::MAX - 2));
        check("transfer-encoding: chunked\r\n", Some(Body::Unknown));
        check("Transfer-Encoding: Chunked\r\n", Some(Body::Unknown));
        check("upgrade: websocket\r\n", Some(Body::Unknown));
        for refused in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: -1\r\n",
            "content-length: 0x5\r\n",
            "content-length: 5 \x0b\r\n",
            "content-length:\r\n",
            "content-length: 18446744073709551614\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: \"chunked\"\r\n",
            "transfer-encoding:\r\n",
            "transfer-encoding : chunked\r\n",
            " transfer-encoding: chunked\r\n",
            "x: y\r\n folded\r\n",
            "x: y\r\n\tfolded\r\n",
            "x\r\n",
            ": y\r\n",
            "x y: z\r\n",
            "x\x0b: y\r\n",
            "x: a\x08b\r\n",
            "x: a\x7fb\r\n",
            "upgrade: websocket\r\ncontent-length: 5\r\n",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn request_lines_have_three_parts() {
        let check = |line: &str, fine: bool| {
            assert_eq!(check(format!("{line}\r\nhost: a\r\n\r\n").as_bytes()).is_ok(), fine, "{line:?}");
        };
        check("GET / HTTP/1.1", true);
        check("GET /a?b=%20 HTTP/1.0", true);
        check("PROPFIND / HTTP/1.1", true);
        check("OPTIONS * HTTP/1.1", true);
        check("GET http://a/ HTTP/1.1", true);
        check("GET * HTTP/1.1", false);
        check("GET  / HTTP/1.1", false);
        check("GET / HTTP/1.1 ", false);
        check("GET /\tHTTP/1.1", false);
        check("GET / x HTTP/1.1", false);
        check("GET /", false);
        check("GET / HTTP/2.0", false);
        check("GET / HTTP/1.2", false);
        check("GET / http/1.1", false);
        check("CONNECT a:80 HTTP/1.1", false);
        check("G(T / HTTP/1.1", false);
        check("GET /ä HTTP/1.1", false);
        check("GET ftp://a/ HTTP/1.1", false);
        check("ALYX-REFUSED / HTTP/1.1", false);
        check("", false);
    }

    #[test]
    fn the_number_of_headers_is_bounded() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(check(head(HEADERS_MAX).as_bytes()), Ok(Body::Length(0)));
        assert_eq!(check(head(HEADERS_MAX + 1).as_bytes()), Err(Refusal::TooLarge));
    }
}
