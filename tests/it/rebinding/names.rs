//! A name server that can say something else every time it is asked (RFC 1035).

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// Types of records.
const A: u16 = 1;
const AAAA: u16 = 28;

/// What it is to say of a name, answer by answer; the last one stays.
pub type Answers = &'static [&'static [&'static str]];

/// A server, as long as the process goes on.
#[derive(Clone)]
pub struct Names(Arc<Mutex<BTreeMap<(String, u16), usize>>>);

impl Names {
    /// Answers at port 53 of this address.
    pub fn start(address: &str, known: &'static [(&'static str, Answers)]) -> Self {
        let socket = UdpSocket::bind((address, 53)).expect("listen for questions");
        let names = Self(Arc::default());
        let asked = names.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let answer = asked.answer(&packet[..length], known).expect("a question");
                socket.send_to(&answer, from).expect("answer");
            }
        });
        names
    }

    /// How often it was asked for the address (of IPv4) of a name.
    pub fn asked(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(&(name.to_owned(), A)).copied().unwrap_or(0)
    }

    fn answer(&self, question: &[u8], known: &[(&str, Answers)]) -> Option<Vec<u8>> {
        let (mut at, mut labels) = (12, Vec::new());
        while *question.get(at)? != 0 {
            let length = usize::from(question[at]);
            labels.push(String::from_utf8_lossy(question.get(at + 1..=at + length)?).to_lowercase());
            at += 1 + length;
        }
        let (name, end) = (labels.join("."), at + 5);
        let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
        let number = {
            let mut asked = self.0.lock().unwrap();
            let count = asked.entry((name.clone(), kind)).or_default();
            *count += 1;
            *count - 1
        };
        let answers = known.iter().find(|(other, _)| *other == name).map(|(_, answers)| *answers);
        let addresses = answers.map_or(&[][..], |all| all[number.min(all.len() - 1)]);
        let records: Vec<Vec<u8>> = addresses.iter().filter_map(|text| record(kind, text)).collect();
        // Its id, an answer without an error, one question, so many records.
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
        answer.extend(question.get(12..end)?);
        answer.extend(records.concat());
        Some(answer)
    }
}

/// An address of the type that was asked for, to be forgotten at once.
fn record(kind: u16, text: &str) -> Option<Vec<u8>> {
    let address = match text.parse().expect("an address") {
        IpAddr::V4(address) if kind == A => address.octets().to_vec(),
        IpAddr::V6(address) if kind == AAAA => address.octets().to_vec(),
        _ => return None,
    };
    // The name is that of the question.
    let [high, low] = kind.to_be_bytes();
    let mut record = vec![0xc0, 12, high, low, 0, 1, 0, 0, 0, 0, 0, u8::try_from(address.len()).ok()?];
    record.extend(address);
    Some(record)
}
