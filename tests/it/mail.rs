//! Mails: sent once, tried again, given up, in the words of the project, and never by the hand of a
//! stranger.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::mails::{Mail, SmtpSink};
use alyx_tests::wait::wait_for;
use alyx_tests::{Cli, Project, TestServer, peers};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

async fn start(sink: &SmtpSink) -> TestServer {
    TestServer::start(Project::fixture("lab").with("alyx.yaml", &sink.config())).await
}

async fn forgot(server: &TestServer, email: &str) {
    server.anon().post("/api/auth/password/forgot", json!({ "email": email })).await.expect_status(202);
}

async fn mails(server: &TestServer, state: &str) -> Vec<Value> {
    let path = format!("/api/admin/mail?state={state}");
    let answer = server.over_admin_socket().get_path(&path).await.expect_ok();
    answer["mails"].as_array().expect("mails").clone()
}

async fn wait_for_state(server: &TestServer, state: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} mails that are {state}"), PATIENCE, async || {
        Some(mails(server, state).await).filter(|mails| mails.len() == count)
    })
    .await
}

#[tokio::test]
async fn a_mail_is_a_proper_message() {
    let sink = SmtpSink::start().await;
    let server = start(&sink).await;
    server.user("ada").await;
    let mail = sink.wait("ada@example.org", "Confirm").await;
    assert_eq!(mail.header("from"), "Blog <noreply@example.org>");
    assert_eq!(mail.header("to"), "ada@example.org");
    assert_eq!(mail.header("auto-submitted"), "auto-generated");
    let sent = wait_for_state(&server, "sent", 1).await;
    let id = sent[0]["id"].as_str().unwrap();
    assert_eq!(mail.header("message-id"), format!("<{id}@example.org>"));
    assert_eq!((&sent[0]["to"], &sent[0]["template"]), (&json!("ada@example.org"), &json!("verify")));
    // What it says is nobody's any more.
    for file in ["data.db", "data.db-wal"] {
        let bytes = fs::read(server.project.data().join(file)).unwrap_or_default();
        let token = mail.token();
        assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()), "the token is in {file}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_mail_that_fails_is_tried_again() {
    let sink = SmtpSink::start().await;
    sink.refuse(&["451 come back later", "421 too busy", "535 who are you"]);
    let server = start(&sink).await;
    server.user("ada").await;
    sink.wait("ada@example.org", "Confirm").await;
    let sent = wait_for_state(&server, "sent", 1).await;
    assert_eq!((&sent[0]["attempts"], sink.offered(), sink.mails().len()), (&json!(4), 4, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_mail_is_given_up_with_its_reason_and_tried_when_told() {
    let sink = SmtpSink::start().await;
    sink.refuse(&["451 not today"; 3]);
    let config = format!("{}  attempts: 3\n", sink.config());
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &config)).await;
    server.user("ada").await;
    let dead = wait_for_state(&server, "dead", 1).await;
    assert_eq!((&dead[0]["attempts"], sink.offered()), (&json!(3), 3));
    assert!(dead[0]["error"].as_str().unwrap().contains("not today"), "{dead:?}");

    let cli = server.cli();
    let list = cli.run(&["mail", "list", "--state", "dead"]).await.expect_ok();
    assert!(list.out.contains("ada@example.org") && list.out.contains("not today"), "{list:#?}");
    let id = dead[0]["id"].as_str().unwrap();
    cli.run(&["mail", "retry", id]).await.expect_ok();
    let rows = server.over_admin_socket().get_path("/api/admin/audit?action=mail.retry").await.expect_ok();
    assert_eq!(rows["entries"][0]["target"], format!("mail:{id}"), "{rows}");
    let mail = sink.wait("ada@example.org", "Confirm").await;
    let confirm = json!({ "token": mail.token() });
    server.anon().post("/api/auth/verify/confirm", confirm).await.expect_status(204);
    let again = cli.run(&["mail", "retry", id]).await.expect_code(1);
    assert!(again.err.contains("mail_not_found"), "{again:#?}");
    cli.run(&["mail", "list", "--state", "lost"]).await.expect_code(1);
    let ada = server.user("bob").await;
    ada.get_path("/api/admin/mail").await.expect_error(403, "forbidden");
    server.anon().get_path("/api/admin/mail").await.expect_error(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_not_tried_again() {
    let sink = SmtpSink::start().await;
    sink.refuse(&["550 no such mailbox"]);
    let server = start(&sink).await;
    server.user("ada").await;
    let dead = wait_for_state(&server, "dead", 1).await;
    assert!(dead[0]["error"].as_str().unwrap().contains("no such mailbox"), "{dead:?}");
    // Others go their way meanwhile.
    forgot(&server, "ada@example.org").await;
    sink.wait("ada@example.org", "Set a new password").await;
    assert_eq!(sink.offered(), 2);
    server.stop().await;
}

#[tokio::test]
async fn m15_mails_that_wait_survive_a_kill() {
    let sink = SmtpSink::start().await;
    // Nothing listens there: a listener that is gone again.
    let gone = SmtpSink::start().await;
    let project = Project::fixture("lab").with("alyx.yaml", &gone.config());
    drop(gone);
    let server = TestServer::start(project).await;
    for name in ["ada", "bob", "eve"] {
        server.user(name).await;
    }
    let project = server.kill().await;
    project.write("alyx.yaml", &sink.config());
    let server = TestServer::start(project).await;
    for name in ["ada", "bob", "eve"] {
        sink.wait(&format!("{name}@example.org"), "Confirm").await;
    }
    wait_for_state(&server, "sent", 3).await;
    let mut ids: Vec<String> = sink.mails().iter().map(|mail| mail.header("message-id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn a_write_that_fails_sends_nothing() {
    let sink = SmtpSink::start().await;
    let server = start(&sink).await;
    server.user("ada").await;
    sink.wait("ada@example.org", "Confirm").await;
    // Registering again fails, and so does confirming an address that somebody took meanwhile.
    let taken = json!({ "email": "ADA@example.org", "password": "correct horse battery staple" });
    server.anon().post("/api/auth/register", taken).await.expect_error(409, "unique_violation");
    let bob = server.user("bob").await;
    sink.wait("bob@example.org", "Confirm").await;
    let change = json!({ "email": "new@example.org", "current_password": alyx_tests::server::PASSWORD });
    bob.post("/api/auth/email/change", change).await.expect_status(202);
    let link = sink.wait("new@example.org", "Confirm your new address").await;
    server.user("new").await;
    sink.wait("new@example.org", "Confirm your address").await;
    let confirm = json!({ "token": link.token() });
    server.anon().post("/api/auth/email/confirm", confirm).await.expect_error(409, "unique_violation");
    forgot(&server, "ada@example.org").await;
    sink.wait("ada@example.org", "Set a new password").await;
    let subjects: Vec<String> = sink.mails().iter().map(|mail| mail.header("subject").to_owned()).collect();
    assert_eq!(subjects.len(), 6, "{subjects:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_project_has_its_own_words_and_languages() {
    let sink = SmtpSink::start().await;
    let project = Project::fixture("lab")
        .with("alyx.yaml", &sink.config())
        .with(
            "mail/de/reset.txt",
            "Subject: Neues Paßwort für {{ app }}\n\nHallo, {{ email }}:\n{{ link }}\n",
        )
        .with("mail/de/reset.html", "<p>Hallo, {{ email }}: <a href=\"{{ link }}\">weiter</a></p>\n");
    let server = TestServer::start(project).await;
    server.user("ada").await;
    let ask = async |languages: &str| {
        let headers = [("content-type", "application/json"), ("accept-language", languages)];
        let body = json!({ "email": "ada@example.org" }).to_string().into_bytes();
        let path = "/api/auth/password/forgot";
        server.anon().raw(reqwest::Method::POST, path, &headers, body).await.expect_status(202);
    };
    ask("de-CH, en;q=0.5").await;
    let german = wait_for("the German mail", PATIENCE, async || {
        sink.mails().into_iter().find(|mail| mail.raw.contains("multipart/alternative"))
    })
    .await;
    assert!(german.header("subject").contains("=?utf-8?"), "{german:?}");
    assert!(german.raw.contains("text/html") && german.raw.contains("weiter"), "{german:?}");
    ask("fr, en;q=0.5").await;
    sink.wait("ada@example.org", "Set a new password for Blog").await;
    // An edited template counts for the next mail.
    server.project.write("mail/en/reset.txt", "Subject: In our words\n\n{{ link }}\n");
    ask("en").await;
    sink.wait("ada@example.org", "In our words").await;
    server.stop().await;
}

#[tokio::test]
async fn broken_templates_and_settings_are_named_before_anything_starts() {
    let project = Project::fixture("lab").with("mail/en/reset.txt", "Subject: x\n\n{{ lnik }}\n");
    let check = async |expected: &str| {
        let output = tokio::process::Command::new(alyx_tests::tree::program("alyxd"))
            .args(["check-config", "--config", "alyx.yaml"])
            .current_dir(project.folder())
            .output()
            .await
            .expect("run alyxd");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    };
    project.write("alyx.yaml", "mail: { transport: none }\n");
    check("there is no value `lnik` in line 3; there are app, email, link, minutes").await;
    project.write("alyx.yaml", "mail: { transport: smtp, host: mail.example.com, security: plain }\n");
    check("mail.security: would send passwords and links in the open").await;
    check("mail.link_url: is missing").await;
    let dev = Cli::in_folder(&project.folder()).run(&["dev", "--listen", "127.0.0.1:0"]).await;
    assert!(dev.code != 0 && dev.err.contains("mail.security"), "{dev:#?}");
}

/// Values that a stranger chooses reach no header, and nobody else's mailbox.
#[tokio::test]
async fn an_address_cannot_add_headers_or_receivers() {
    let sink = SmtpSink::start().await;
    let server = start(&sink).await;
    for email in [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "ada@example.org\nSubject: x",
        "\"ada\r\nBcc: eve\"@example.org",
        "<ada@example.org>",
    ] {
        let body = json!({ "email": email, "password": "correct horse battery staple" });
        server.anon().post("/api/auth/register", body).await.expect_error(422, "validation_failed");
        forgot(&server, email).await;
    }
    server.anon().register("o'neil+{{link}}@example.org", "correct horse battery staple").await;
    let mail = sink.wait("o'neil+{{link}}@example.org", "Confirm").await;
    assert_eq!(mail.to.len(), 1);
    assert_eq!(sink.mails().len(), 1, "{:?}", sink.mails());
    server.stop().await;
}

/// A mail server of PyPI's `aiosmtpd` that demands TLS and a password; prints what it takes as JSON.
const AIOSMTPD: &str = r#"
import asyncio, datetime, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
folder, implicit = sys.argv[1], sys.argv[2] == "tls"
now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
def certificate(name, key, issuer, issuer_key, ca):
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    return (x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True).sign(issuer_key, hashes.SHA256()))
root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
def write(name, text):
    with open(folder + "/" + name, "wb") as file:
        file.write(text)
pem = serialization.Encoding.PEM
write("ca.pem", certificate("root", root, "root", root, True).public_bytes(pem))
write("cert.pem", certificate("localhost", key, "root", root, False).public_bytes(pem))
write("key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"to": envelope.rcpt_tos, "raw": envelope.content.decode(), "tls": session.ssl is not None or implicit}), flush=True)
        return "250 taken"
def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"blog", b"hunter2 hunter2"))
options = dict(authenticator=authenticate, auth_required=True, auth_require_tls=not implicit)
def conversation():
    if implicit:
        return SMTP(Handler(), **options)
    return SMTP(Handler(), tls_context=context, require_starttls=True, **options)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(conversation, "127.0.0.1", 0, ssl=context if implicit else None)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

#[tokio::test]
async fn mails_go_by_tls_to_an_independent_server() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    for security in ["starttls", "tls"] {
        let Some(python) = peers::python() else { return };
        let project = Project::fixture("lab");
        let folder = tempfile::tempdir().expect("make a temporary folder");
        let ca_file = format!("ca_file: {}/ca.pem, ", folder.path().display());
        let mut peer = tokio::process::Command::from(python)
            .args(["-c", AIOSMTPD, &folder.path().display().to_string(), security])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It tells at length of the handshakes that have to fail.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("start aiosmtpd");
        let mut lines = BufReader::new(peer.stdout.take().expect("a pipe")).lines();
        let mut line = async || -> Value {
            let line =
                tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("aiosmtpd says something");
            serde_json::from_str(&line.expect("read").expect("a line")).expect("JSON")
        };
        let port = line().await["port"].clone();
        let config = format!(
            "auth: {{ registration: open }}\nmail: {{ transport: smtp, host: localhost, port: {port}, \
             security: {security}, username: blog, \
             password: \"${{MAIL_PASSWORD:-hunter2 hunter2}}\", {ca_file}link_url: 'https://a.example', \
             from: noreply@example.org, retry_after: 20ms, attempts: 3 }}\n"
        );
        project.write("alyx.yaml", &config);
        let server = TestServer::start(project).await;
        server.user("ada").await;
        let taken = line().await;
        assert_eq!((&taken["to"], &taken["tls"]), (&json!(["ada@example.org"]), &json!(true)));
        let mail = Mail::parse(taken["raw"].as_str().unwrap(), Vec::new());
        assert!(mail.header("subject").contains("Confirm"), "{mail:?}");

        // Without the certificate in the list of those to trust, nothing is sent.
        let project = server.stop().await;
        project.write("alyx.yaml", &config.replace(&ca_file, ""));
        let server = TestServer::start(project).await;
        server.user("bob").await;
        let dead = wait_for_state(&server, "dead", 1).await;
        let error = dead[0]["error"].as_str().unwrap();
        assert!(error.contains("certificate") || error.contains("UnknownIssuer"), "{error}");
        assert!(!server.output().contains("hunter2"), "the password is in the log");
        server.stop().await;
    }
}
