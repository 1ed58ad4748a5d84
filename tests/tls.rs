//! TLS: the server's certificate, its change without a restart, and whom the client trusts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use darkroom::domain::account::Role;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::app::{PASSWORD, TestApp, until};
use crate::kit::process::{DARKROOM, Process};

/// An authority, and a certificate of its for this machine.
struct Issued {
    authority: String,
    chain: String,
    key: String,
}

fn issue() -> Issued {
    let key = KeyPair::generate().expect("a key");
    let mut of_authority = CertificateParams::new(Vec::new()).expect("names");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = of_authority.self_signed(&key).expect("a certificate").pem();
    let (issuer, key) = (Issuer::new(of_authority, key), KeyPair::generate().expect("a key"));
    let of_server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
    let chain = of_server.signed_by(&key, &issuer).expect("a certificate").pem();
    Issued { authority, chain, key: key.serialize_pem() }
}

impl Issued {
    /// What reqwest calls a client that trusts this authority alone.
    fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.authority.as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([authority]).build().expect("a client")
    }

    async fn reaches(&self, base: &str) -> bool {
        let request = self.client().get(format!("{base}/health/live"));
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

/// The log of a server.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).contains(text)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().expect("no panic"), bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server process that speaks TLS, with its files.
struct Secured {
    app: TestApp,
    server: Process,
    log: Log,
    folder: tempfile::TempDir,
}

impl Secured {
    async fn start(issued: &Issued) -> Self {
        let (app, folder, log) = (TestApp::new().await, tempfile::tempdir().expect("a folder"), Log::default());
        let file = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
        put(folder.path(), issued);
        let environment = [
            ("DATABASE_URL", app.settings.database.database_url.0.clone()),
            ("REDIS_URL", app.settings.redis_url.0.clone()),
            ("DARKROOM_NAMESPACE", app.settings.namespace.clone()),
            ("DARKROOM_DATA", app.settings.data.display().to_string()),
            ("DARKROOM_CLIENT_WAIT_S", "0.5".to_owned()),
            ("DARKROOM_TLS_CERT", file("chain.pem")),
            ("DARKROOM_TLS_KEY", file("key.pem")),
        ];
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Process::start(&environment, log.clone()).expect("a server");
        assert!(server.base.starts_with("https://"), "{}", server.base);
        Self { app, server, log, folder }
    }

    fn port(&self) -> String {
        self.server.base.trim_start_matches("https://").to_owned()
    }

    /// Runs the client's program, with a home of its own.
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(DARKROOM);
        command.args(args).env("XDG_CONFIG_HOME", self.folder.path()).current_dir(self.folder.path());
        command.output().expect("darkroom")
    }
}

fn put(folder: &Path, issued: &Issued) {
    for (name, text) in [("chain.pem", &issued.chain), ("key.pem", &issued.key), ("authority.pem", &issued.authority)] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_trusts_whom_it_is_told_to_and_remembers_it() {
    let issued = issue();
    let secured = Secured::start(&issued).await;
    secured.app.user("ines", &[Role::Investigator]).await;
    std::fs::write(secured.folder.path().join("password"), PASSWORD).expect("a file");
    let base = secured.server.base.as_str();
    let login = ["login", "--server", base, "--user", "ines", "--password-file", "password"];
    let refused = secured.run(&login);
    assert!(!refused.status.success() && said(&refused).contains("certificate"), "{}", said(&refused));
    let signed_in = secured.run(&[login.as_slice(), &["--ca-file", "authority.pem"]].concat());
    assert!(signed_in.status.success(), "{}", said(&signed_in));
    let listed = secured.run(&["models"]);
    assert!(listed.status.success(), "{}", said(&listed));
    std::fs::write(secured.folder.path().join("authority.pem"), issue().authority).expect("a file");
    assert!(!secured.run(&["models"]).status.success(), "another authority vouches for nothing");
    let far = secured.run(&["login", "--server", "http://192.0.2.1", "--user", "ines", "--password-file", "password"]);
    assert!(!far.status.success() && said(&far).contains("--insecure"), "{}", said(&far));
    let healthy = secured.run(&["healthcheck", "--server", base]);
    assert!(healthy.status.success(), "{}", said(&healthy));
    let elsewhere = secured.run(&["healthcheck", "--server", "https://192.0.2.1"]);
    assert!(said(&elsewhere).contains("not on this machine"), "{}", said(&elsewhere));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let (first, second) = (issue(), issue());
    let secured = Secured::start(&first).await;
    let base = secured.server.base.as_str();
    assert!(first.reaches(base).await && !second.reaches(base).await);
    put(secured.folder.path(), &second);
    until("the new certificate", async || second.reaches(base).await).await;
    assert!(!first.reaches(base).await);
    std::fs::write(secured.folder.path().join("key.pem"), &first.key).expect("a file");
    until("a word about the broken pair", async || secured.log.says("do not make a pair")).await;
    assert!(second.reaches(base).await, "the certificate before stays in use");
    std::fs::remove_file(secured.folder.path().join("chain.pem")).expect("to remove it");
    until("a word about the missing file", async || secured.log.says("cannot read")).await;
    assert!(second.reaches(base).await, "the certificate before stays in use");
    put(secured.folder.path(), &first);
    until("the first certificate", async || first.reaches(base).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_no_tls_is_told_or_cut_and_holds_nobody_up() {
    let issued = issue();
    let secured = Secured::start(&issued).await;
    let ask = async |text: &'static [u8]| {
        let mut stream = TcpStream::connect(secured.port()).await.expect("a connection");
        stream.write_all(text).await.expect("to send");
        let mut answer = Vec::new();
        // A reset is a cut, too.
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("an end");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let told = ask(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400 ") && told.ends_with("write https:// in place of http://"), "{told}");
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(secured.port()).await.expect("a connection"));
    }
    // One after the other, their handshakes would take 50 s.
    let beside = tokio::time::timeout(Duration::from_secs(20), issued.reaches(&secured.server.base)).await;
    assert_eq!(beside, Ok(true), "a hundred that say nothing hold it up");
    for half in [b"".as_slice(), b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05hello", b"\x00\x01\x02"] {
        let answer = ask(half).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn files_that_are_no_pair_are_refused_at_the_start_and_by_doctor() {
    let (folder, app) = (tempfile::tempdir().expect("a folder"), TestApp::new().await);
    let (first, second) = (issue(), issue());
    put(folder.path(), &first);
    std::fs::write(folder.path().join("other.pem"), &second.key).expect("a file");
    std::fs::write(folder.path().join("empty.pem"), "").expect("a file");
    let path = |name: &str| -> Option<PathBuf> { (!name.is_empty()).then(|| folder.path().join(name)) };
    for (certificate, key, told) in [
        ("chain.pem", "other.pem", "do not make a pair"),
        ("chain.pem", "", "go together"),
        ("", "key.pem", "go together"),
        ("empty.pem", "key.pem", "holds no certificate"),
        ("chain.pem", "empty.pem", "holds no key"),
        ("key.pem", "key.pem", "holds no certificate"),
        ("nothing.pem", "key.pem", "cannot read"),
    ] {
        let mut doctor = Command::new(DARKROOM);
        doctor.arg("doctor").env("DATABASE_URL", &app.settings.database.database_url.0);
        doctor.env("REDIS_URL", &app.settings.redis_url.0).env("DARKROOM_DATA", &app.settings.data);
        for (name, file) in [("DARKROOM_TLS_CERT", path(certificate)), ("DARKROOM_TLS_KEY", path(key))] {
            if let Some(file) = file {
                doctor.env(name, file);
            }
        }
        let found = said(&doctor.output().expect("darkroom"));
        assert!(found.contains("WRONG settings") && found.contains(told), "{certificate}, {key}: {found}");
        let mut settings = app.settings.clone();
        (settings.tls_cert, settings.tls_key) = (path(certificate), path(key));
        let refused = darkroom::app::App::new(&settings).await.err().map(|error| format!("{error:#}"));
        assert!(refused.is_some_and(|error| error.contains(told)), "{certificate}, {key}");
    }
}

#[test]
fn a_worker_sends_its_key_in_clear_to_nobody_unless_told() {
    let program = "import sys; sys.path.insert(0, 'sdk/python'); from darkroom_worker.http import Server; \
                   Server(sys.argv[1], 'key', insecure=sys.argv[2] == 'true'); print('taken')";
    let ask = |url: &str, insecure: &str| {
        let mut python = Command::new("python3");
        python.args(["-B", "-c", program, url, insecure]).output().map(|output| said(&output)).ok()
    };
    for (url, insecure, told) in [
        ("http://192.0.2.1:8080", "", "--insecure"),
        ("http://server:8080", "false", "--insecure"),
        ("http://127.0.0.1.example", "", "--insecure"),
        ("http://server:8080", "true", "taken"),
        ("http://127.0.0.1:8080", "", "taken"),
        ("http://[::1]:8080", "", "taken"),
        ("https://server", "", "taken"),
    ] {
        // Where there is no Python, there is no microservice in it.
        let Some(found) = ask(url, insecure) else { return };
        assert!(found.contains(told), "{url}: {found}");
    }
}
