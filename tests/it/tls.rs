//! The TLS listener: versions, certificates that change, and what `testssl.sh` says of it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, peers, tree};
use serde_json::Value;
use tokio::process::Command;

/// Another program's answer to these arguments.
async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(300), command.output()).await;
    output.unwrap_or_else(|_| panic!("{program} takes too long")).unwrap_or_else(|_| panic!("run {program}"))
}

/// Writes a certificate for `localhost` and its key.
pub async fn certify(folder: &Path, common_name: &str) {
    let path = |name: &str| folder.join(name).display().to_string();
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-days",
            "90",
            "-subj",
            &format!("/CN={common_name}"),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            &path("fresh.key"),
            "-out",
            &path("fresh.pem"),
        ],
    )
    .await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The key first: for a moment the two do not fit together, which must do no harm.
    std::fs::rename(folder.join("fresh.key"), folder.join("tls.key")).expect("put the key in place");
    std::fs::rename(folder.join("fresh.pem"), folder.join("tls.pem")).expect("put the certificate in place");
}

async fn with_tls() -> TestServer {
    let project = Project::fixture("lab")
        .with("alyx.yaml", "tls: { listen: '127.0.0.1:0', certificate: tls.pem, key: tls.key }");
    certify(&project.folder(), "first").await;
    TestServer::start(project).await
}

async fn address(server: &TestServer) -> String {
    let status = server.over_admin_socket().get_path("/api/admin/status").await.expect_ok();
    status["tls_listen"].as_str().expect("TLS is served").to_owned()
}

/// `curl` with our certificate as its authority; what it printed.
async fn curl(server: &TestServer, arguments: &[&str], path: &str) -> (bool, String) {
    let authority = server.project.folder().join("tls.pem").display().to_string();
    let url = format!("https://{}{path}", address(server).await);
    let all =
        [&["-sS", "-i", "--noproxy", "*", "--max-time", "60", "--cacert", &authority], arguments, &[&url]];
    let output = run("curl", &all.concat()).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn tls_is_served_beside_plain_http() {
    let server = with_tls().await;
    for (arguments, version) in
        [(&["--http1.1"][..], "HTTP/1.1 200"), (&["--http2"][..], "HTTP/2 200"), (&["--tlsv1.3"][..], "200")]
    {
        let (fine, text) = curl(&server, arguments, "/health/live").await;
        assert!(fine && text.contains(version), "{arguments:?}: {text}");
        assert!(text.to_lowercase().contains("strict-transport-security: max-age=31536000"), "{text}");
    }
    let (fine, text) =
        curl(&server, &["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"], "/health/live").await;
    assert!(!fine, "{text}");
    // The plain listener stays, and says nothing of TLS.
    let plain = server.anon().get_path("/health/live").await.expect_status(200);
    assert_eq!(plain.header("strict-transport-security"), None);
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart() {
    let server = with_tls().await;
    let shown = async || {
        let (fine, text) = curl(&server, &["-v", "--output", "/dev/null"], "/health/live").await;
        (fine, text)
    };
    assert!(shown().await.1.contains("CN=first"));
    // A broken one changes nothing.
    let key = std::fs::read(server.project.folder().join("tls.key")).expect("read the key");
    std::fs::write(server.project.folder().join("tls.key"), "nonsense").expect("break the key");
    wait_for("the broken key to be reported", Duration::from_secs(60), async || {
        server.output().contains("kept the TLS certificate as it was").then_some(())
    })
    .await;
    assert!(shown().await.1.contains("CN=first"));
    std::fs::write(server.project.folder().join("tls.key"), key).expect("mend the key");
    certify(&server.project.folder(), "second").await;
    wait_for("the new certificate to be shown", Duration::from_secs(60), async || {
        let (fine, text) = shown().await;
        (fine && text.contains("CN=second")).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start() {
    let project = Project::fixture("lab");
    let config = |text: &str| {
        let file = project.root().join("alyx.yaml");
        std::fs::write(&file, text).expect("write the configuration");
        file.display().to_string()
    };
    let serve = async |text: &str| {
        let file = config(text);
        let folder = project.folder().display().to_string();
        let data = project.root().join("other").display().to_string();
        let program = tree::program("alyxd").display().to_string();
        let arguments =
            ["serve", "--config", &file, "--project", &folder, "--data", &data, "--listen", "127.0.0.1:0"];
        let output = run(&program, &arguments).await;
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = serve("tls: { listen: '127.0.0.1:0', certificate: tls.pem }").await;
    assert!(said.contains("tls.key missing"), "{said}");
    let said = serve("tls: { listen: '127.0.0.1:0', certificate: none.pem, key: none.key }").await;
    assert!(said.contains("none.pem"), "{said}");
    certify(project.root(), "first").await;
    let first = std::fs::read(project.root().join("tls.key")).expect("read the key");
    certify(project.root(), "second").await;
    std::fs::write(project.root().join("tls.key"), first).expect("mix the key up");
    let said = serve("tls: { listen: '127.0.0.1:0', certificate: tls.pem, key: tls.key }").await;
    assert!(said.contains("with its key"), "{said}");
}

/// Findings that say something of the test's certificate, not of the server.
const OF_THE_CERTIFICATE: &[&str] = &[
    "cert_chain_of_trust",
    "cert_trust",
    "cert_revocation",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "OCSP_stapling",
    "DNS_CAArecord",
    "cert_notAfter",
    "cert_expirationStatus",
    "cert_validityPeriod",
    "cert_extlifeSpan",
    "cert_certificatePolicies_EV",
    // The grade follows from the chain of trust.
    "overall_grade",
    "grade_cap_reason_1",
];

#[tokio::test]
async fn testssl_finds_nothing() {
    if !peers::on_path("testssl") {
        return;
    }
    let server = with_tls().await;
    let report = server.project.root().join("testssl.json");
    let file = report.display().to_string();
    let address = address(&server).await;
    let arguments = [
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "off",
        "--nodns",
        "none",
        "--ip",
        "127.0.0.1",
        "--protocols",
        "--server-defaults",
        "--server-preference",
        "--fs",
        "--vulnerable",
        "--headers",
        "--jsonfile",
        &file,
        &address,
    ];
    run("testssl", &arguments).await;
    let text = std::fs::read(&report).expect("testssl.sh writes its findings");
    let findings: Vec<Value> = serde_json::from_slice(&text).expect("the findings are JSON");
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| {
            ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].iter().any(|bad| finding["severity"] == *bad)
        })
        .filter(|finding| {
            !OF_THE_CERTIFICATE
                .iter()
                .any(|id| finding["id"].as_str().is_some_and(|found| found.starts_with(id)))
        })
        .map(Value::to_string)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let of = |id: &str| {
        let found = findings.iter().find(|finding| finding["id"] == id);
        found.and_then(|finding| finding["finding"].as_str()).unwrap_or_default().to_owned()
    };
    for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert!(of(old).contains("not offered"), "{old}: {}", of(old));
    }
    for new in ["TLS1_2", "TLS1_3"] {
        assert!(of(new).starts_with("offered"), "{new}: {}", of(new));
    }
    server.stop().await;
}
