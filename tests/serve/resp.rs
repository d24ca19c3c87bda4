//! The commands of the Redis protocol.
//!
//! Not for: hostile clients (`hostile`).

use redis_protocol::resp3::types::OwnedFrame as Frame3;

use crate::fixture::{Numbers, integers, strings, write_parquet};
use crate::harness::{Workspace, wait_for};
use crate::server::Server;

#[test]
fn keys_are_read_by_their_dataset_or_after_select() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let mut client = server.resp();
    for (line, answer) in [
        ("PING", "PONG"),
        ("ping hello", "hello"),
        ("ECHO x", "x"),
        ("GET numbers:k000", r#"{"generation":1}"#),
        ("GET numbers:k999", "(nil)"),
        ("GET k000", "(error) ERR a key in database 0 is dataset:key; SELECT n reads the n-th dataset"),
        ("GET other:k000", "(error) ERR there is no dataset \"other\""),
        ("GET", "(error) ERR wrong number of arguments for 'get' command"),
        ("MGET numbers:k001 numbers:none numbers:k002", r#"[{"generation":1}, (nil), {"generation":1}]"#),
        ("EXISTS numbers:k001 numbers:k001 numbers:none", "2"),
        ("STRLEN numbers:k001", "16"),
        ("TYPE numbers:k001", "string"),
        ("TYPE numbers:none", "none"),
        ("TTL numbers:k001", "-1"),
        ("HGET numbers:k001 generation", "1"),
        ("HGET numbers:k001 none", "(nil)"),
        ("HMGET numbers:k001 none generation", "[(nil), 1]"),
        ("HGETALL numbers:k001", "[generation, 1]"),
        ("HGETALL numbers:none", "[]"),
        ("DBSIZE", "100"),
        ("SELECT 2", "(error) ERR DB index is out of range: there are 1 datasets"),
        ("SELECT x", "(error) ERR value is not an integer or out of range"),
        ("SELECT 1", "OK"),
        ("GET k000", r#"{"generation":1}"#),
        ("GET numbers:k000", "(nil)"),
        ("DBSIZE", "100"),
        ("SELECT 0", "OK"),
        ("SET numbers:k000 1", "(error) READONLY datasets are changed by publishing a version, not by commands"),
        ("FLUSHALL", "(error) READONLY datasets are changed by publishing a version, not by commands"),
        ("FROB x", "(error) ERR unknown command 'FROB'"),
        ("CLIENT SETNAME me", "OK"),
        ("CLIENT GETNAME", "me"),
        ("CLIENT SETINFO lib-name x", "OK"),
        ("CONFIG GET appendonly", "[appendonly, no]"),
        (
            "CONFIG SET appendonly yes",
            "(error) ERR the settings of this server are its flags: only CONFIG GET is known",
        ),
        ("COMMAND COUNT", "23"),
        ("AUTH x", "(error) ERR AUTH is called, but this server has no password"),
    ] {
        assert_eq!(client.ask(line), answer, "{line}");
    }
    let info = client.ask("INFO");
    assert!(info.contains("dataset1:name=numbers,version=1,rows=100") && info.contains("loading:0"), "{info}");
    assert_eq!(client.ask("QUIT"), "OK");
    assert!(client.answer().is_none(), "the connection is closed");
}

#[test]
fn resp3_has_maps_and_nulls() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let mut client = server.resp();
    client.send(&[b"HELLO", b"3"]);
    let Some(Frame3::Map { data, .. }) = client.answer3() else { panic!("HELLO answers a map") };
    assert_eq!(data.len(), 7);
    client.send(&[b"GET", b"numbers:none"]);
    assert_eq!(client.answer3(), Some(Frame3::Null));
    client.send(&[b"HGETALL", b"numbers:k000"]);
    assert!(matches!(client.answer3(), Some(Frame3::Map { data, .. }) if data.len() == 1));
    client.send(&[b"HELLO", b"4"]);
    assert!(matches!(client.answer3(), Some(Frame3::SimpleError { data, .. }) if data.starts_with("NOPROTO")));
}

#[test]
fn keys_of_several_columns_are_json_or_stored_bytes() {
    let workspace = Workspace::new();
    write_parquet(
        &workspace.path("in/part-0.parquet"),
        vec![
            ("page", strings(["/", "/home", "/home"])),
            ("age", integers([1, 20, 30])),
            ("views", integers([7, 8, 9])),
        ],
    );
    let job = "version = 1\ndataset = \"views\"\nstore = \"views\"\n[inputs.in]\npath = \"in/\"\n[query]\n\
               sql = \"SELECT page, age, views FROM \\\"in\\\"\"\n[output]\nkey = [\"page\", \"age\"]\n";
    workspace.write("views.toml", job);
    workspace.cutover("run views.toml").ok();
    let server = Server::start(&workspace, "views");
    server.wait_for_version("views", 1);
    let mut client = server.resp();
    assert_eq!(client.ask_words(&[b"GET", br#"views:["/home", 20]"#]), r#"{"views":8}"#);
    assert_eq!(client.ask_words(&[b"GET", b"views:\x02/home\0\x15\x1e"]), r#"{"views":9}"#);
    let wrong = client.ask_words(&[b"GET", b"views:/home"]);
    assert!(wrong.starts_with("(error) ERR ") && wrong.contains("a key is an array of 2"), "{wrong}");
    let pattern = br#"views:["/home"]*"#;
    let found = client.ask_words(&[b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"100"]);
    assert_eq!(found, r#"[0, [views:["/home",20], views:["/home",30]]]"#);
    let all = client.ask("SCAN 0 COUNT 100");
    assert_eq!(all, r#"[0, [views:["/",1], views:["/home",20], views:["/home",30]]]"#);
}

#[test]
fn a_scan_sees_every_key_of_one_version_once() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let mut client = server.resp();
    let mut cursor = "0".to_owned();
    let mut keys = Vec::new();
    for round in 0.. {
        let answer = client.ask(&format!("SCAN {cursor} MATCH numbers:k0* COUNT 7"));
        let (next, found) = answer[1..answer.len() - 1].split_once(", ").unwrap();
        keys.extend(found.trim_matches(['[', ']']).split(", ").filter(|key| !key.is_empty()).map(str::to_owned));
        cursor = next.to_owned();
        if round == 0 {
            // The scan stays on its version while another one is published.
            numbers.write(2, 50);
            numbers.workspace.cutover("run numbers.toml --allow rows,change").ok();
            server.wait_for_version("numbers", 2);
        }
        if cursor == "0" {
            break;
        }
    }
    let expected: Vec<String> = (0..100).map(|at| format!("numbers:k{at:03}")).collect();
    assert_eq!(keys, expected);
    assert!(client.ask("SCAN 12345").contains("begin again"), "an unknown cursor");
    assert_eq!(client.ask("SCAN 0 MATCH numbers:k00[12]"), "[0, [numbers:k001, numbers:k002]]");
}

#[test]
fn a_password_is_needed_where_there_is_one() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.workspace.write("password", "correct horse\n");
    let server = Server::start(&numbers.workspace, "numbers=store --password-file password");
    server.wait_for_version("numbers", 1);
    let mut client = server.resp();
    for (line, answer) in [
        ("GET numbers:k000", "(error) NOAUTH Authentication required."),
        ("AUTH wrong", "(error) WRONGPASS invalid username-password pair or user is disabled."),
        ("PING", "(error) NOAUTH Authentication required."),
    ] {
        assert_eq!(client.ask(line), answer, "{line}");
    }
    assert_eq!(client.ask_words(&[b"AUTH", b"default", b"correct horse"]), "OK");
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":1}"#);
    assert_eq!(server.http().get("/v1/numbers/k000").status, 401);
    assert_eq!(server.http().get("/metrics").status, 401);
    assert_eq!(server.http().get("/readyz").status, 200);
    let known = server.http().with("authorization", "Bearer correct horse");
    assert_eq!(known.get("/v1/numbers/k000").status, 200);
    // Who guesses is slowed down, by either protocol, and learns nothing meanwhile; who is connected stays.
    let mut guesser = server.resp();
    let answers = std::iter::repeat_with(|| guesser.ask("AUTH guess")).take(30);
    assert!(answers.last().unwrap().contains("too many wrong passwords from this address"));
    assert!(guesser.ask_words(&[b"HELLO", b"3", b"AUTH", b"default", b"correct horse"]).contains("too many"));
    let slowed = known.get("/v1/numbers/k000");
    assert_eq!((slowed.status, slowed.headers["retry-after"].as_str()), (429, "1"));
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":1}"#);
    assert_eq!(server.http().get("/readyz").status, 200);
    wait_for("the address to be heard again", || known.get("/v1/numbers/k000").status == 200);
    // A stranger may not even send a large request.
    let mut stranger = server.resp();
    stranger.send_bytes(b"*1\r\n$60000\r\n");
    assert!(crate::client::shown(&stranger.answer().unwrap()).contains("Protocol error"));
    assert!(stranger.answer().is_none());
}
