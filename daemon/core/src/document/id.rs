//! Ids of type `id`: 20 characters of Crockford's base32 in lower case. The first ten carry the
//! milliseconds since 1970 (48 bits in 50), the others 50 random bits, so ids sort by time of
//! creation to the millisecond and need no escaping in a URL.

/// Crockford's alphabet: no i, l, o, u. Its order is the order of ASCII, so text order is time order.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Makes an id from the time and random bytes. Only the low 48 bits of the time (good until the
/// year 10889) and 50 bits of the random bytes are used.
#[must_use]
pub fn new_id(now_ms: u64, random: [u8; 10]) -> String {
    let digits = |value: u64| (0..10).rev().map(move |place| ALPHABET[(value >> (place * 5)) as usize & 31]);
    let time = now_ms & ((1 << 48) - 1);
    let noise = random.iter().fold(0_u64, |sum, byte| (sum << 5) | u64::from(byte & 31));
    digits(time).chain(digits(noise)).map(char::from).collect()
}

/// Makes a UUID of version 7 from the time and random bytes.
#[must_use]
pub fn new_uuid(now_ms: u64, random: [u8; 10]) -> String {
    uuid::Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::new_id;

    #[test]
    fn ids_have_a_fixed_form() {
        assert_eq!(new_id(0, [0; 10]), "00000000000000000000");
        assert_eq!(new_id(1, [31; 10]), "0000000001zzzzzzzzzz");
        assert_eq!(new_id(u64::MAX, [255; 10]), "7zzzzzzzzzzzzzzzzzzz");
        assert_eq!(new_id(32, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), "0000000010123456789a");
    }

    #[test]
    fn ids_sort_by_time() {
        let times = [0, 1, 31, 32, 1_000, 1_766_000_000_000, 1_766_000_000_001, (1 << 48) - 1];
        let ids: Vec<_> = times.iter().map(|time| new_id(*time, [7; 10])).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
