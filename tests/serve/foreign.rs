//! Clients that other people wrote, as they come.
//!
//! Not for: what they cannot be made to say (`resp`, `hostile`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fixture::Numbers;
use crate::server::{Server, served};

/// A program on the path or at one of these places. Without it the test passes, but not under CI.
fn program(name: &str, elsewhere: Option<PathBuf>) -> Option<PathBuf> {
    let shown = elsewhere.as_ref().and_then(|path| path.file_name()?.to_str()).unwrap_or(name).to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(name)).chain(elsewhere).find(|it| it.is_file());
    if found.is_none() {
        assert!(!crate::harness::is_set("CI"), "{shown} is missing: scripts/setup.sh --serve installs it");
        eprintln!("skipped: there is no {shown}; scripts/setup.sh --serve installs it");
    }
    found
}

/// Where scripts/setup.sh --serve puts the clients of PyPI and npm.
fn clients() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("cutover/clients")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).trim().to_owned()
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

#[test]
fn redis_cli() {
    let Some(cli) = program("redis-cli", None) else { return };
    let (_numbers, server) = served();
    let ask = |arguments: &[&str]| run(Command::new(&cli).args(["-p", port(&server.resp)]).args(arguments));
    assert_eq!(ask(&["GET", "numbers:k000"]), r#"{"generation":1}"#);
    assert_eq!(ask(&["-n", "1", "MGET", "k000", "none"]), "{\"generation\":1}");
    assert_eq!(ask(&["-3", "HGETALL", "numbers:k001"]), "generation 1");
    let keys = ask(&["--scan", "--pattern", "numbers:k00*"]);
    assert_eq!(keys.lines().count(), 10, "{keys}");
    assert!(ask(&["SET", "numbers:k000", "x"]).starts_with("READONLY"));
    assert!(ask(&["INFO"]).contains("cutover_version"));
}

#[test]
fn redis_benchmark() {
    let Some(benchmark) = program("redis-benchmark", None) else { return };
    let (_numbers, server) = served();
    let ran = run(Command::new(&benchmark)
        .args(["-p", port(&server.resp), "-n", "20000", "-c", "20", "-P", "16", "-q"])
        .args(["GET", "numbers:k000"]));
    assert!(ran.contains("requests per second") && !ran.to_lowercase().contains("error"), "{ran}");
}

#[test]
fn redis_py() {
    let Some(python) = program("no-python-of-its-own", Some(clients().join("venv/bin/python"))) else { return };
    let (_numbers, server) = served();
    let script = "
import sys, redis
for protocol in (2, 3):
    client = redis.Redis(port=int(sys.argv[1]), protocol=protocol, decode_responses=True)
    assert client.get('numbers:k000') == '{\"generation\":1}'
    assert client.mget('numbers:k001', 'numbers:none') == ['{\"generation\":1}', None]
    assert client.hgetall('numbers:k001') == {'generation': '1'}
    assert sorted(client.scan_iter('numbers:k0*', count=7)) == [f'numbers:k{at:03}' for at in range(100)]
    assert client.exists('numbers:k001') == 1 and client.strlen('numbers:k001') == 16
    assert client.info()['cutover_version']
    pipe = client.pipeline(transaction=False)
    for at in range(1000): pipe.get(f'numbers:k{at % 100:03}')
    assert set(pipe.execute()) == {'{\"generation\":1}'}
    one = redis.Redis(port=int(sys.argv[1]), db=1, protocol=protocol, decode_responses=True)
    assert one.get('k000') == '{\"generation\":1}' and one.dbsize() == 100
    try: client.set('numbers:k000', 'x'); raise SystemExit('written')
    except redis.exceptions.ReadOnlyError: pass
print('done')
";
    assert_eq!(run(Command::new(python).args(["-c", script, port(&server.resp)])), "done");
}

#[test]
fn ioredis() {
    let Some(node) = program("node", None) else { return };
    let modules = clients().join("node_modules");
    let Some(_) = program("no-ioredis", Some(modules.join("ioredis/package.json"))) else { return };
    let (_numbers, server) = served();
    let script = "
const Redis = require('ioredis');
(async () => {
  const client = new Redis({ port: Number(process.argv[1]) });
  const same = (a, b) => { if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(JSON.stringify(a)); };
  same(await client.get('numbers:k000'), '{\"generation\":1}');
  same(await client.mget('numbers:k001', 'numbers:none'), ['{\"generation\":1}', null]);
  same(await client.hgetall('numbers:k001'), { generation: '1' });
  const many = await Promise.all(Array.from({ length: 1000 }, (_, at) => client.get('numbers:k' + String(at % 100).padStart(3, '0'))));
  same(new Set(many).size, 1);
  const other = new Redis({ port: Number(process.argv[1]), db: 1 });
  same(await other.get('k000'), '{\"generation\":1}');
  client.disconnect(); other.disconnect();
  console.log('done');
})().catch(error => { console.error(error); process.exit(1); });
";
    let ran = run(Command::new(node).env("NODE_PATH", modules).args(["-e", script, port(&server.resp)]));
    assert_eq!(ran, "done");
}

/// A program of `clients/` that scripts/setup.sh --serve has built.
fn runs_through(program_name: &str) {
    let Some(client) = program("not-on-the-path", Some(clients().join("bin").join(program_name))) else { return };
    let (_numbers, server) = served();
    assert_eq!(run(Command::new(client).arg(port(&server.resp))), "done");
}

#[test]
fn go_redis() {
    runs_through("go-redis");
}

#[test]
fn the_crate_redis() {
    runs_through("redis-client");
}

#[test]
fn curl() {
    let Some(curl) = program("curl", None) else { return };
    let (_numbers, server) = served();
    let url = |path: &str| format!("http://{}{path}", server.http);
    let ask = |arguments: &[&str], path: &str| run(Command::new(&curl).arg("-sS").args(arguments).arg(url(path)));
    assert_eq!(ask(&[], "/v1/numbers/k000"), r#"{"generation":1}"#);
    let head = ask(&["-I"], "/v1/numbers/k000").to_lowercase();
    assert!(head.contains("200 ok") && head.contains("cutover-version: 1"), "{head}");
    let batch = ask(&["-d", r#"["k000"]"#], "/v1/numbers/_batch");
    assert!(batch.contains(r#""entries":[{"key":"k000","value":{"generation":1}}]"#), "{batch}");
    // Several requests on one connection.
    let both = run(Command::new(&curl).args(["-sS", &url("/healthz"), &url("/v1/numbers/k001")]));
    assert_eq!(both, r#"{"status":"ok"}{"generation":1}"#);
}

#[test]
fn both_protocols_are_encrypted_where_there_is_a_certificate() {
    let tools = (program("openssl", None), program("redis-cli", None), program("curl", None));
    let (Some(openssl), Some(cli), Some(curl)) = tools else { return };
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let path = |name: &str| numbers.workspace.path(name).display().to_string();
    let certify = || {
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let arguments =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let files =
            ["-keyout", &path("key.pem"), "-out", &path("cert.pem"), "-subj", "/CN=localhost", "-addext", names];
        run(Command::new(&openssl).args(arguments).args(files));
    };
    certify();
    let server = Server::start(&numbers.workspace, "numbers=store --tls-cert cert.pem --tls-key key.pem");
    server.wait_for_version("numbers", 1);
    let assert_answers = || {
        let cli = ["--tls", "--cacert", &path("cert.pem"), "-p", port(&server.resp), "GET", "numbers:k000"];
        assert_eq!(run(Command::new(program("redis-cli", None).unwrap()).args(cli)), r#"{"generation":1}"#);
        let url = format!("https://localhost:{}/v1/numbers/k000", port(&server.http));
        assert_eq!(run(Command::new(&curl).args(["-sS", "--cacert", &path("cert.pem"), &url])), r#"{"generation":1}"#);
    };
    assert!(cli.is_file());
    assert_answers();
    // Another certificate takes over without a restart; one that is no certificate does not.
    let reloaded =
        || server.events().iter().filter(|event| event["event"] == "reloaded" && event["problem"].is_null()).count();
    let before = reloaded();
    certify();
    server.signal(rustix::process::Signal::HUP);
    crate::harness::wait_for("the certificate to be read again", || reloaded() > before);
    assert_answers();
    let good = std::fs::read(path("cert.pem")).unwrap();
    std::fs::write(path("cert.pem"), "no certificate").unwrap();
    crate::harness::wait_for("the certificate to be refused", || {
        server.events().iter().any(|event| !event["problem"].is_null() && event["event"] == "reloaded")
    });
    std::fs::write(path("cert.pem"), good).unwrap();
    assert_answers();
}

#[test]
fn a_browser_shows_the_status_page() {
    let Some(chromium) = program("chromium", None) else { return };
    let numbers = Numbers::new();
    for (generation, rows) in [(1, 90), (2, 100), (3, 95), (4, 100)] {
        numbers.write(generation, rows);
        numbers.workspace.cutover("run numbers.toml --allow rows,change").ok();
    }
    numbers.on("rollback", "").ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 3);
    let shots = std::env::var_os("SCREENSHOTS").map_or_else(|| numbers.workspace.path("shots"), PathBuf::from);
    std::fs::create_dir_all(&shots).unwrap();
    let page = |arguments: &[String]| {
        let mut command = Command::new(&chromium);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]);
        command.arg(format!("--user-data-dir={}", numbers.workspace.path("browser").display()));
        run(command.args(arguments).arg(format!("http://{}/", server.http)))
    };
    let document = page(&["--dump-dom".to_owned()]);
    for part in ["numbers", "serving", "<svg", "data as of", "rolled back"] {
        assert!(document.contains(part), "{part} in {document}");
    }
    for (name, size) in [("wide", "1280,900"), ("narrow", "390,844")] {
        let file = shots.join(format!("{name}.png"));
        page(&[format!("--screenshot={}", file.display()), format!("--window-size={size}")]);
        assert!(is_image(&file), "{}", file.display());
    }
}

fn is_image(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG"))
}
