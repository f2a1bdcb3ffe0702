//! Inbound webhooks: what is signed as agreed runs a function once, and nothing else does.

mod senders;

use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Answer, Project, TestServer, peers};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::senders::{Headers, SCHEMES, TIMED, body, change, header, now, sign};

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const WRONG: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const PATIENCE: Duration = Duration::from_secs(120);

/// Writes down what it was told.
const NOTE: &str = "
export default async (ctx) => {
  const { inbound, delivery, body, body_base64, json, headers, query, job, attempt } = ctx.input;
  if (json?.fail) throw new Error('on purpose');
  const told = { delivery, body, body_base64, json, headers, query, job, attempt };
  await ctx.db.create('runs', { path: inbound, told });
};
";

/// Writes it down and answers; `do` of the body says what.
const ANSWER: &str = "
export default async (ctx) => {
  const { inbound, json, delivery } = ctx.input;
  await ctx.db.create('runs', { path: inbound, told: { delivery, json } });
  if (json.do === 'wait') {
    for (;;) {
      const gates = await ctx.db.list('gates', {});
      if (gates.docs.length > 0) break;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
  if (json.do === 'refuse') throw ctx.error('not_for_us', 'No.', { status: 422 });
  if (json.do === 'fail') throw new Error('on purpose');
  return { challenge: json.challenge ?? null };
};
";

fn schema() -> String {
    let timed: String = TIMED
        .map(|path| format!("  - {{ path: {path}, verify: {path}, secret: [NEW, OLD], function: note }}\n"))
        .concat();
    format!(
        "version: 1
collections:
  runs:
    fields:
      id: {{ type: id, primary: true, default: auto }}
      path: {{ type: string }}
      told: {{ type: json }}
  gates:
    fields:
      id: {{ type: id, primary: true, default: auto }}
functions:
  note: {{ runtime: node }}
  answer: {{ runtime: node }}
inbound:
{timed}  - {{ path: github, verify: github, secret: [NEW, OLD], function: note, retry: {{ attempts: 2, first: 10ms }} }}
  - path: shop/hex
    verify: hmac-sha256
    secret: [NEW, OLD]
    function: note
    header: X-Shop-Signature
    id: X-Shop-Id
  - path: shop/base64
    verify: hmac-sha256
    secret: [NEW, OLD]
    function: note
    header: X-Shop-Hmac
    encoding: base64
    prefix: v1=
  - {{ path: sha1, verify: hmac-sha1, secret: [NEW, OLD], function: note, header: X-Hub-Signature, prefix: sha1= }}
  - {{ path: waited, verify: slack, secret: NEW, function: answer, mode: sync }}
"
    )
}

fn project() -> Project {
    Project::schema(&schema()).with("functions/note/index.js", NOTE).with("functions/answer/index.js", ANSWER)
}

async fn start() -> TestServer {
    start_with(project()).await
}

async fn start_with(project: Project) -> TestServer {
    let server = TestServer::start(project).await;
    for (name, value) in [("NEW", NEW), ("OLD", OLD)] {
        server.cli().run_with_input(&["secrets", "set", name], value).await.expect_ok();
    }
    server
}

async fn send(server: &TestServer, path: &str, headers: &Headers, body: &[u8]) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.anon().raw(Method::POST, &format!("/hooks/{path}"), &headers, body.to_vec()).await
}

/// What became of it: taken in, known already, or refused.
fn taken(answer: Answer) -> bool {
    match answer.status.as_u16() {
        202 => assert_eq!(answer.json(), json!({ "repeated": false }), "{answer}"),
        200 => assert_eq!(answer.json(), json!({ "repeated": true }), "{answer}"),
        _ => panic!("{answer}"),
    }
    answer.status == 202
}

/// The jobs of inbound webhooks, newest first.
async fn jobs(server: &TestServer) -> Vec<Value> {
    let said = ["--json", "jobs", "list", "--kind", "inbound", "--limit", "200"];
    let said = server.cli().run(&said).await.expect_ok().json();
    said["jobs"].as_array().unwrap().clone()
}

/// What ran, once all that is owed did.
async fn runs(server: &TestServer) -> Vec<Value> {
    wait_for("jobs", PATIENCE, async || {
        let over = |job: &Value| job["state"] == "done" || job["state"] == "dead";
        jobs(server).await.iter().all(over).then_some(())
    })
    .await;
    server.over_admin_socket().list("runs", "limit=1000").await.expect_docs()
}

/// `kill -9` of the daemon alone: nothing is ended in order.
async fn kill_daemon(server: TestServer) -> Project {
    kill(Pid::from_raw(server.daemon().pid), Signal::SIGKILL).expect("kill the daemon");
    server.wait_for_end().await
}

fn count(runs: &[Value], path: &str) -> usize {
    runs.iter().filter(|run| run["path"] == path).count()
}

#[tokio::test]
async fn m36_an_inbound_signature_that_is_wrong_or_old_runs_nothing() {
    let proxy = "server: { trusted_proxies: [127.0.0.1/32] }\n";
    let server = start_with(project().with("alyx.yaml", proxy)).await;
    let refused = async |path: &str, why: &str, headers: &Headers, body: &[u8]| {
        // From an address for each path, because there is a limit.
        let mut headers = headers.clone();
        let at = SCHEMES.iter().position(|scheme| *scheme == path).unwrap();
        headers.push(("x-forwarded-for", format!("192.0.2.{at}")));
        let problem = send(&server, path, &headers, body).await.expect_error(401, "invalid_signature");
        // One answer for all of them.
        let said = problem.detail.as_str();
        assert_eq!(said, "The signature is not that of a request made now.", "{path} {why}");
    };
    for path in SCHEMES {
        let (id, at) = (format!("{}-1", path.replace('/', "-")), now());
        let body = body(&id);
        let right = sign(path, NEW, &id, at, &body);
        let mut tampered = body.clone();
        tampered[2] ^= 1;
        refused(path, "another body", &right, &tampered).await;
        refused(path, "a longer body", &right, &[&body[..], b" "].concat()).await;
        refused(path, "no body", &right, b"").await;
        refused(path, "another secret", &sign(path, WRONG, &id, at, &body), &body).await;
        refused(path, "nothing", &Vec::new(), &body).await;
        for (name, value) in &right {
            let mut without = right.clone();
            without.retain(|(found, _)| found != name);
            if !["x-github-delivery", "x-shop-id"].contains(name) {
                refused(path, "a missing header", &without, &body).await;
            }
            let mut twice = right.clone();
            twice.push((*name, value.clone()));
            refused(path, "a header twice", &twice, &body).await;
        }
        refused(path, "an empty signature", &change(path, &right, |_| String::new()), &body).await;
        let cut = |right: &str| right[..right.len() - 2].to_owned();
        refused(path, "a signature cut off", &change(path, &right, cut), &body).await;
        let beginning = |right: &str| right[..8].to_owned();
        refused(path, "its beginning", &change(path, &right, beginning), &body).await;
        let odd = |_: &str| "sha256=é,v1=\u{a0},t=".to_owned();
        refused(path, "no signature", &change(path, &right, odd), &body).await;
        for shift in [-400, 400, -at, 3_000_000_000] {
            if TIMED.contains(&path) {
                refused(path, "another time", &sign(path, NEW, &id, at + shift, &body), &body).await;
            }
        }
        // The signature of another scheme is none.
        for other in SCHEMES.iter().filter(|other| header(other) != header(path)) {
            refused(path, other, &sign(other, NEW, &id, at, &body), &body).await;
        }
    }
    assert_eq!(jobs(&server).await, Vec::<Value>::new());
    // The same, signed as agreed, runs: by either secret, and in either case where it is hexadecimal.
    for (round, secret) in [NEW, OLD].into_iter().enumerate() {
        for path in SCHEMES {
            let id = format!("{}-{round}", path.replace('/', "-"));
            let headers = sign(path, secret, &id, now(), &body(&id));
            let upper = |right: &str| match (round, right.rsplit_once('=')) {
                (1, Some((word, digits))) if !right.starts_with("v1") => {
                    format!("{word}={}", digits.to_uppercase())
                }
                _ => right.to_owned(),
            };
            let headers = change(path, &headers, upper);
            assert!(taken(send(&server, path, &headers, &body(&id)).await), "{path}");
        }
    }
    let runs = runs(&server).await;
    assert_eq!((runs.len(), jobs(&server).await.len()), (2 * SCHEMES.len(), 2 * SCHEMES.len()));
    for path in SCHEMES {
        assert_eq!(count(&runs, path), 2, "{path}");
    }
    // The log says what was wrong, and nothing that was secret.
    let log = server.output();
    for said in [
        "a request to /hooks/stripe was refused: it was signed 4",
        "a request to /hooks/standard was refused: the header webhook-signature is missing",
        "a request to /hooks/github was refused: the header x-hub-signature-256 is there more than once",
        "no secret of this path made the signature",
        "s from now: a clock is wrong",
    ] {
        assert!(log.contains(said), "{said}");
    }
    assert!(!log.contains(&NEW[6..]) && !log.contains("Grüße"));
    server.stop().await;
}

/// Signs by the libraries of Stripe, GitHub and Standard Webhooks.
const JAVASCRIPT: &str = "
import Stripe from 'stripe';
import { sign } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
const [secret, at] = process.argv.slice(1);
const body = JSON.stringify({ id: 'evt_js', event_id: 'Ev_js', text: 'Grüße' });
const stripe = new Stripe('sk_test_none');
const signed = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: Number(at) });
const standard = new Webhook(secret).sign('msg_js', new Date(at * 1000), body);
console.log(JSON.stringify([
  ['stripe', body, { 'stripe-signature': signed }],
  ['github', body, { 'x-hub-signature-256': await sign(secret, body), 'x-github-delivery': 'd_js' }],
  ['standard', body, { 'webhook-id': 'msg_js', 'webhook-timestamp': at, 'webhook-signature': standard }],
]));
";

/// Signs by the libraries of Slack and Standard Webhooks.
const PYTHON: &str = "
import datetime, json, sys
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
secret, at = sys.argv[1:]
body = json.dumps({'event_id': 'Ev_py', 'text': 'Grüße'}, ensure_ascii=False)
when = datetime.datetime.fromtimestamp(int(at), datetime.timezone.utc)
print(json.dumps([
    ['slack', body, {
        'x-slack-signature': SignatureVerifier(secret).generate_signature(timestamp=at, body=body),
        'x-slack-request-timestamp': at,
    }],
    ['standard', body, {
        'webhook-id': 'msg_py', 'webhook-timestamp': at,
        'webhook-signature': Webhook(secret).sign('msg_py', when, body),
    }],
]))
";

#[tokio::test]
async fn m36_signatures_of_the_libraries_of_senders_verify() {
    let (Some(mut node), Some(mut python)) = (peers::node(), peers::python()) else { return };
    let server = start().await;
    let at = now().to_string();
    let node = node.args(["--input-type=module", "-e", JAVASCRIPT, NEW, &at]).output().expect("run node");
    let python = python.args(["-c", PYTHON, NEW, &at]).output().expect("run python");
    let mut paths = Vec::new();
    for output in [node, python] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let signed: Vec<(String, String, serde_json::Map<String, Value>)> =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        for (path, body, headers) in signed {
            let pairs: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
            let url = format!("/hooks/{path}");
            let wrong = format!("{body} ").into_bytes();
            let answer = server.anon().raw(Method::POST, &url, &pairs, wrong).await;
            answer.expect_error(401, "invalid_signature");
            let answer = server.anon().raw(Method::POST, &url, &pairs, body.clone().into_bytes()).await;
            assert!(taken(answer), "{path}");
            paths.push((path, body));
        }
    }
    let runs = runs(&server).await;
    assert_eq!((paths.len(), runs.len()), (5, 5));
    for (path, body) in paths {
        let told = |run: &&Value| run["path"] == path && run["told"]["body"] == body;
        assert_eq!(runs.iter().filter(told).count(), 1, "{path}: {runs:#?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m36_a_delivery_that_comes_again_is_acknowledged_and_does_not_run() {
    let server = start().await;
    let at = now();
    for path in SCHEMES {
        let (id, body) = (path.replace('/', "-"), body(path));
        let headers = sign(path, NEW, &id, at, &body);
        assert!(taken(send(&server, path, &headers, &body).await));
        assert!(!taken(send(&server, path, &headers, &body).await), "{path}");
        // Sent again by who sends it, with another time and the other secret.
        let headers = sign(path, OLD, &id, at - 60, &body);
        assert!(!taken(send(&server, path, &headers, &body).await), "{path}");
        // Sent again by who saw it, with an id in a header that nobody signed.
        let mut other = sign(path, NEW, &id, at, &body);
        for (name, value) in &mut other {
            if ["x-github-delivery", "x-shop-id"].contains(name) {
                "another".clone_into(value);
            }
        }
        assert!(!taken(send(&server, path, &other, &body).await), "{path}");
        // Another one is another one.
        let id = format!("{id}-2");
        let body = self::body(&id);
        assert!(taken(send(&server, path, &sign(path, NEW, &id, at, &body), &body).await), "{path}");
    }
    // Many at the same moment.
    let body = body("at-once");
    let headers = sign("github", NEW, "at-once", at, &body);
    let all = (0..30).map(|_| send(&server, "github", &headers, &body));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.into_iter().filter(|answer| taken(answer.clone())).count(), 1);
    let before = runs(&server).await;
    assert_eq!(before.len(), 2 * SCHEMES.len() + 1);
    // They are known after a restart, and after an end that nobody wished for.
    let server = TestServer::start(kill_daemon(server.restart().await).await).await;
    for path in SCHEMES {
        let (id, body) = (path.replace('/', "-"), self::body(path));
        let headers = sign(path, NEW, &id, at, &body);
        assert!(!taken(send(&server, path, &headers, &body).await), "{path}");
    }
    assert_eq!(runs(&server).await.len(), before.len());
    server.stop().await;
}

#[tokio::test]
async fn m36_what_was_acknowledged_runs_once_although_the_daemon_was_killed() {
    // Until there is a gate, the function fails, so nothing has run when the daemon is killed.
    let note = format!(
        "const wait = async (ctx) => {{
           const gates = await ctx.db.list('gates', {{}});
           if (gates.docs.length === 0) throw new Error('not yet');
         }};
         {}",
        NOTE.replace("  if (json?.fail)", "  await wait(ctx);\n  if (json?.fail)")
    );
    let text = schema().replace("attempts: 2, first: 10ms", "attempts: 100, first: 100ms, longest: 100ms");
    let server =
        TestServer::start(project().with("schema.yaml", &text).with("functions/note/index.js", &note)).await;
    server.cli().run_with_input(&["secrets", "set", "NEW"], NEW).await.expect_ok();
    let at = now();
    let mut project = None;
    let mut server = Some(server);
    for round in 0..3 {
        let running = match server.take() {
            Some(server) => server,
            None => TestServer::start(project.take().expect("the one of the round before")).await,
        };
        for before in 0..=round {
            let id = format!("kill-{before}");
            let headers = sign("github", NEW, &id, at, &body(&id));
            let first = taken(send(&running, "github", &headers, &body(&id)).await);
            assert_eq!(first, before == round, "{round} {before}");
        }
        project = Some(kill_daemon(running).await);
    }
    let server = TestServer::start(project.expect("it was killed")).await;
    assert_eq!(server.over_admin_socket().list("runs", "").await.expect_docs(), Vec::<Value>::new());
    server.over_admin_socket().create("gates", json!({})).await.expect_created();
    let runs = runs(&server).await;
    let mut ids: Vec<&str> = runs.iter().map(|run| run["told"]["delivery"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["kill-0", "kill-1", "kill-2"]);
    server.stop().await;
}

#[tokio::test]
async fn the_function_is_told_what_came_byte_by_byte() {
    let server = start().await;
    let bodies: [(&[u8], Value); 6] = [
        (b"{\"b\": 1,\t\"a\":[2.50]}\r\n", json!({ "b": 1, "a": [2.5] })),
        (b"payload=%7B%7D&x=1", Value::Null),
        ("\u{feff}\0\u{1}\u{2028}Grüße \"\\".as_bytes(), Value::Null),
        (b"\xff\xfe\x00", Value::Null),
        (b"{\"a\":1,\"a\":2}", Value::Null),
        (b"", Value::Null),
    ];
    for (at, (body, _)) in bodies.iter().enumerate() {
        let mut headers = sign("github", NEW, &format!("d{at}"), now(), body);
        headers.extend(
            [
                ("authorization", "Bearer canary"),
                ("cookie", "alyx_access=canary"),
                ("proxy-authorization", "canary"),
                ("x-github-event", "push"),
                ("content-type", "text/odd; charset=none"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        assert!(taken(send(&server, "github?one=1&two=a%20b&one=2", &headers, body).await));
    }
    let runs = runs(&server).await;
    assert_eq!(runs.len(), bodies.len());
    for (at, (body, json)) in bodies.iter().enumerate() {
        let run = runs.iter().find(|run| run["told"]["delivery"] == format!("d{at}")).unwrap();
        let told = &run["told"];
        assert_eq!(&told["json"], json, "{told:#}");
        match str::from_utf8(body) {
            Ok(text) => assert_eq!((&told["body"], &told["body_base64"]), (&json!(text), &Value::Null)),
            Err(_) => assert_eq!((&told["body"], &told["body_base64"]), (&Value::Null, &json!("//4A"))),
        }
        assert_eq!((&told["query"], &told["attempt"]), (&json!({ "one": "1", "two": "a b" }), &json!(1)));
        assert_eq!(told["headers"]["x-github-event"], "push", "{told:#}");
        assert!(!run.to_string().contains("canary"), "{run:#}");
    }
    // What it did is known, and by what it was caused.
    let id = runs[0]["told"]["job"].as_str().unwrap();
    let found = wait_for("the record", PATIENCE, async || {
        let said =
            server.cli().run(&["--json", "executions", "list", "--function", "note"]).await.expect_ok();
        said.json()["executions"].as_array().unwrap().iter().find(|one| one["request_id"] == id).cloned()
    })
    .await;
    assert_eq!((&found["trigger"], &found["outcome"]), (&json!("inbound"), &json!("ok")), "{found:#}");
    // One that fails is tried again as the path says, and kept.
    let body = br#"{"fail": true}"#;
    assert!(taken(send(&server, "github", &sign("github", NEW, "fails", now(), body), body).await));
    self::runs(&server).await;
    let dead: Vec<Value> = jobs(&server).await.into_iter().filter(|job| job["state"] == "dead").collect();
    assert_eq!((dead.len(), &dead[0]["attempts"], &dead[0]["target"]), (1, &json!(2), &json!("github")));
    server.stop().await;
}

fn waited(id: &str, what: &str) -> (Vec<u8>, Headers) {
    let body = json!({ "event_id": id, "do": what, "challenge": "c-1" }).to_string().into_bytes();
    let headers = sign("slack", NEW, id, now(), &body);
    (body, headers)
}

#[tokio::test]
async fn m36_a_sender_that_waits_gets_the_answer_and_the_function_runs_once() {
    let server = start().await;
    let ask = async |id: &str, what: &str| {
        let (body, headers) = waited(id, what);
        send(&server, "waited", &headers, &body).await
    };
    let (body, _) = waited("none", "");
    let wrong = sign("slack", WRONG, "none", now(), &body);
    send(&server, "waited", &wrong, &body).await.expect_error(401, "invalid_signature");
    let first = ask("one", "").await;
    assert!(first.header("x-alyx-execution").is_some());
    assert_eq!(first.expect_ok(), json!({ "challenge": "c-1" }));
    assert!(!taken(ask("one", "").await));
    let began = async |id: &str| {
        wait_for("the function to run", PATIENCE, async || {
            let runs = server.over_admin_socket().list("runs", "").await.expect_docs();
            runs.iter().any(|run| run["told"]["delivery"] == id).then_some(())
        })
        .await;
    };
    // A sender that hangs up ends nothing.
    tokio::select! {
        answer = ask("gone", "wait") => panic!("{answer}"),
        () = began("gone") => {}
    }
    ask("gone", "wait").await.expect_error(409, "delivery_open");
    // While it is worked on, and after.
    let waiting = ask("slow", "wait");
    let others = async {
        began("slow").await;
        let again = ask("slow", "wait").await;
        assert!(again.header("retry-after").is_some(), "{again}");
        again.expect_error(409, "delivery_open");
        server.over_admin_socket().create("gates", json!({})).await.expect_created();
    };
    let (answer, ()) = tokio::join!(waiting, others);
    assert_eq!(answer.expect_ok(), json!({ "challenge": "c-1" }));
    assert!(!taken(ask("slow", "wait").await));
    let gone = wait_for("the end of the other", PATIENCE, async || {
        let answer = ask("gone", "wait").await;
        (answer.status != 409).then_some(answer)
    });
    assert!(!taken(gone.await));
    // One that fails may come again.
    for _ in 0..2 {
        ask("bad", "fail").await.expect_error(500, "function_error");
        ask("odd", "refuse").await.expect_error(422, "not_for_us");
    }
    let runs = runs(&server).await;
    let of = |id: &str| runs.iter().filter(|run| run["told"]["delivery"] == id).count();
    let found = ["one", "slow", "gone", "bad", "odd"].map(of);
    assert_eq!((found, runs.len()), ([1, 1, 1, 2, 2], 7));
    assert_eq!(jobs(&server).await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test]
async fn m36_a_delivery_whose_daemon_died_while_its_sender_waited_may_come_again() {
    let server = start().await;
    let (body, headers) = waited("slow", "wait");
    let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut request =
        reqwest::Client::new().post(format!("{}/hooks/waited", server.url())).body(body.clone());
    for (name, value) in &pairs {
        request = request.header(*name, *value);
    }
    let asked = tokio::spawn(request.send());
    wait_for("the function to run", PATIENCE, async || {
        let runs = server.over_admin_socket().list("runs", "").await.expect_docs();
        (!runs.is_empty()).then_some(())
    })
    .await;
    let server = TestServer::start(kill_daemon(server).await).await;
    assert!(asked.await.expect("it does not panic").is_err());
    server.over_admin_socket().create("gates", json!({})).await.expect_created();
    let answer = send(&server, "waited", &headers, &body).await;
    assert_eq!(answer.expect_ok(), json!({ "challenge": "c-1" }));
    assert!(!taken(send(&server, "waited", &headers, &body).await));
    server.stop().await;
}

#[tokio::test]
async fn m36_requests_that_no_path_takes_are_refused() {
    let server = TestServer::start(project()).await;
    let (body, at) = (body("a"), now());
    let headers = sign("github", NEW, "a", at, &body);
    // Without its secret nothing is right.
    let unset = send(&server, "github", &headers, &body).await;
    assert!(!unset.text().contains("NEW") && unset.header("retry-after").is_some(), "{unset}");
    unset.expect_error(503, "inbound_not_ready");
    let list = server.cli().run(&["--json", "inbound", "list"]).await.expect_ok().json();
    let paths = list["inbound"].as_array().unwrap();
    assert_eq!(paths.len(), SCHEMES.len() + 1);
    assert!(paths.iter().all(|path| path["problem"] == "the secret NEW is not set"), "{list:#}");
    let doctor = server.cli().run(&["doctor"]).await;
    assert!(doctor.out.contains("/hooks/github: the secret NEW is not set"), "{doctor:?}");
    // One that is too short is none, and empty ones cannot be set.
    server.cli().run_with_input(&["secrets", "set", "NEW"], "0123456789abcde").await.expect_ok();
    let short = sign("github", "0123456789abcde", "a", at, &body);
    send(&server, "github", &short, &body).await.expect_error(503, "inbound_not_ready");
    server.cli().run_with_input(&["secrets", "set", "OLD"], OLD).await.expect_ok();
    send(&server, "github", &short, &body).await.expect_error(401, "invalid_signature");
    let empty = sign("github", "", "a", at, &body);
    send(&server, "github", &empty, &body).await.expect_error(401, "invalid_signature");
    server.cli().run_with_input(&["secrets", "set", "NEW"], NEW).await.expect_ok();
    let list = server.cli().run(&["inbound", "list"]).await.expect_ok();
    assert_eq!(list.out.matches("ready").count(), SCHEMES.len() + 1, "{list:?}");
    assert!(list.out.contains("/hooks/shop/hex") && !list.out.contains("whsec_"), "{list:?}");
    for path in ["none", "github/", "github/x", "shop", "GitHub", "shop//hex", "..%2fgithub", "%00"] {
        send(&server, path, &headers, &body).await.expect_error(404, "not_found");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = server.anon().raw(method, "/hooks/github", &pairs, body.clone()).await;
        assert_eq!(answer.header("allow"), Some("POST"), "{answer}");
        answer.expect_error(405, "method_not_allowed");
    }
    // As large as it may be, and larger.
    let most = 2 * 1024 * 1024;
    let large = vec![b'a'; most];
    assert!(taken(send(&server, "github", &sign("github", NEW, "large", at, &large), &large).await));
    let told = too_large(&server, most + 1).await;
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("body_too_large"), "{told}");
    // What becomes larger than a function can take is refused as well.
    let large = vec![1; most];
    let answer = send(&server, "github", &sign("github", NEW, "odd", at, &large), &large).await;
    answer.expect_error(413, "body_too_large");
    // Nobody else sees the list, and no page elsewhere reads an answer.
    server.anon().get_path("/api/inbound").await.expect_error(401, "unauthenticated");
    server.user("ada").await.get_path("/api/inbound").await.expect_error(403, "forbidden");
    let mut headers = sign("github", NEW, "page", at, b"page");
    headers.push(("origin", "https://evil.test".to_owned()));
    let answer = send(&server, "github", &headers, b"page").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (202, None));
    assert!(answer.header("set-cookie").is_none());
    server.stop().await;
}

/// What is answered to the head of a request with a body of this length, before any of it is sent.
async fn too_large(server: &TestServer, length: usize) -> String {
    let host = server.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.expect("connect");
    let head = format!("POST /hooks/github HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn m36_wrong_signatures_are_slowed_down_and_right_ones_are_not() {
    let server = start().await;
    let body = body("a");
    let wrong = sign("github", WRONG, "a", now(), &body);
    let mut statuses = Vec::new();
    for _ in 0..70 {
        let answer = send(&server, "github", &wrong, &body).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some(), "{answer}");
        }
        statuses.push(answer.status.as_u16());
    }
    assert!(statuses[..60].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    let lines = server.output().matches("a request to /hooks/github was refused").count();
    assert_eq!(lines, statuses.iter().filter(|status| **status == 401).count());
    assert!(taken(send(&server, "github", &sign("github", NEW, "a", now(), &body), &body).await));
    server.stop().await;
}
