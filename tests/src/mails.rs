//! Mails as their receivers see them: an SMTP server that keeps what it is sent, and the folder that the
//! file transport writes to.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(60);

/// A mail, with its text decoded.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Addresses of the envelope; for a file, that of the header.
    pub to: Vec<String>,
    /// Everything that was sent.
    pub raw: String,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Mail {
    /// Reads a message.
    #[must_use]
    pub fn parse(raw: &str, to: Vec<String>) -> Self {
        let raw = raw.replace("\r\n", "\n");
        let (head, body) = raw.split_once("\n\n").expect("a message has a head and a body");
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.lines() {
            match (line.strip_prefix([' ', '\t']), headers.last_mut()) {
                (Some(more), Some((_, value))) => value.push_str(&format!(" {}", more.trim())),
                _ => {
                    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header: {line}"));
                    headers.push((name.to_lowercase(), value.trim().to_owned()));
                }
            }
        }
        let encoding = headers.iter().find(|(name, _)| name == "content-transfer-encoding");
        let text = decode(encoding.map_or("7bit", |(_, value)| value.as_str()), body);
        Self { to, headers, text, raw: raw.clone() }
    }

    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found: Vec<&str> =
            self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect();
        assert!(found.len() <= 1, "{name} is there twice: {self:?}");
        found.first().copied().unwrap_or_default()
    }

    /// The token of the link in it.
    #[must_use]
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once("token=").unwrap_or_else(|| panic!("no link in {self:?}"));
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).collect()
    }

    /// The code in it, on a line of its own.
    #[must_use]
    pub fn code(&self) -> String {
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
        self.text.lines().find(is_code).unwrap_or_else(|| panic!("no code in {self:?}")).to_owned()
    }
}

fn decode(encoding: &str, body: &str) -> String {
    match encoding {
        "quoted-printable" => {
            let joined = body.replace("=\n", "");
            let mut bytes = Vec::new();
            let mut rest = joined.bytes();
            while let Some(byte) = rest.next() {
                if byte == b'=' {
                    let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    let digits = std::str::from_utf8(&digits).expect("ASCII").to_owned();
                    bytes.push(u8::from_str_radix(&digits, 16).expect("hex"));
                } else {
                    bytes.push(byte);
                }
            }
            String::from_utf8(bytes).expect("UTF-8")
        }
        "base64" => {
            use base64::Engine;
            let joined: String = body.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(joined).expect("base64");
            String::from_utf8(bytes).expect("UTF-8")
        }
        _ => body.to_owned(),
    }
}

/// The mails that the file transport wrote, oldest first.
#[must_use]
pub fn in_folder(folder: &Path) -> Vec<Mail> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let mail = Mail::parse(&fs::read_to_string(path).expect("read a mail"), Vec::new());
        let to = mail.header("to").trim_matches(['<', '>']).to_owned();
        Mail { to: vec![to], ..mail }
    };
    paths.iter().map(read).collect()
}

/// Waits for the newest mail in a folder to this address whose subject has these words.
pub async fn wait_in_folder(folder: &Path, to: &str, subject: &str) -> Mail {
    wait_for(&format!("a mail to {to} about {subject}"), PATIENCE, async || {
        in_folder(folder).into_iter().rev().find(|mail| matches(mail, to, subject))
    })
    .await
}

fn matches(mail: &Mail, to: &str, subject: &str) -> bool {
    mail.to.iter().any(|address| address.eq_ignore_ascii_case(to)) && mail.header("subject").contains(subject)
}

/// An SMTP server on loopback.
#[derive(Debug)]
pub struct SmtpSink {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    mails: Vec<Mail>,
    /// Answers to the next messages instead of taking them.
    refusals: VecDeque<String>,
    /// How many messages were offered.
    offered: usize,
}

impl SmtpSink {
    pub async fn start() -> Self {
        Self::start_slow(Duration::ZERO).await
    }

    /// One that lets whoever connects wait so long for its greeting.
    pub async fn start_slow(greets_after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen on loopback");
        let port = listener.local_addr().expect("a listener has an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, greets_after, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A configuration that sends here, where whoever registers is signed in at once, as most tests like
    /// it. Its last section is `mail`.
    #[must_use]
    pub fn config(&self) -> String {
        format!("auth:\n  registration: open\n{}", self.mail_config())
    }

    /// The section `mail` of it alone.
    #[must_use]
    pub fn mail_config(&self) -> String {
        format!(
            "mail:\n  transport: smtp\n  host: 127.0.0.1\n  port: {}\n  security: plain\n  \
             link_url: https://app.example.org\n  from: Blog <noreply@example.org>\n  app_name: Blog\n  \
             retry_after: 20ms\n",
            self.port
        )
    }

    /// Answers the next messages like this, such as `451 later`.
    pub fn refuse(&self, answers: &[&str]) {
        self.lock().refusals.extend(answers.iter().map(|answer| (*answer).to_owned()));
    }

    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().mails.clone()
    }

    /// How many messages were offered, taken or not.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.lock().offered
    }

    /// Waits for the newest mail to this address whose subject has these words.
    pub async fn wait(&self, to: &str, subject: &str) -> Mail {
        self.wait_for_several(1, to, subject).await.pop().expect("at least one")
    }

    /// Waits until there are so many of them.
    pub async fn wait_for_several(&self, count: usize, to: &str, subject: &str) -> Vec<Mail> {
        wait_for(&format!("{count} mails to {to} about {subject}"), PATIENCE, async || {
            let found: Vec<Mail> =
                self.mails().into_iter().filter(|mail| matches(mail, to, subject)).collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, as RFC 5321 has it. A client that goes away ends it.
async fn converse(
    stream: TcpStream,
    greets_after: Duration,
    state: Arc<Mutex<State>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    tokio::time::sleep(greets_after).await;
    stream.write_all(b"220 sink\r\n").await?;
    let mut to = Vec::new();
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let word = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            "EHLO" => "250-sink\r\n250 8BITMIME".to_owned(),
            "MAIL" | "RSET" => {
                to.clear();
                "250 ok".to_owned()
            }
            "RCPT" => {
                let address = command.split(['<', '>']).nth(1).unwrap_or_default();
                to.push(address.to_owned());
                "250 ok".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let raw = message(&mut stream).await?;
                take(&state, &raw, std::mem::take(&mut to))
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        if word == "QUIT" {
            break;
        }
    }
    Ok(())
}

fn take(state: &Mutex<State>, raw: &str, to: Vec<String>) -> String {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.offered += 1;
    match state.refusals.pop_front() {
        Some(refusal) => refusal,
        None => {
            state.mails.push(Mail::parse(raw, to));
            "250 taken".to_owned()
        }
    }
}

/// Lines up to a single full stop, with the doubled ones undone (RFC 5321 §4.5.2).
async fn message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (mut raw, mut line) = (String::new(), String::new());
    while stream.read_line(&mut line).await? > 0 && line != ".\r\n" {
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
        line.clear();
    }
    Ok(raw)
}
