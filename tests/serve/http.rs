//! HTTP: values, batches, pages, and what operators ask.
//!
//! Not for: browsers and curl (`foreign`).

use std::io::Read;

use crate::server::served;

#[test]
fn a_value_is_returned_with_its_version() {
    let (numbers, server) = served();
    let http = server.http();
    let found = http.get("/v1/numbers/k000");
    assert_eq!((found.status, found.text().as_str()), (200, r#"{"generation":1}"#));
    assert_eq!(found.headers["cutover-version"], "1");
    assert_eq!(found.headers["content-type"], "application/json");
    let as_of = numbers.current_json()["versions"]["1"]["as_of"].as_str().unwrap().to_owned();
    assert_eq!(found.headers["cutover-as-of"], as_of);
    let again = server.http().with("if-none-match", &found.headers["etag"]).get("/v1/numbers/k000");
    assert_eq!((again.status, again.body.len()), (304, 0));
    numbers.run(2).ok();
    server.wait_for_version("numbers", 2);
    let changed = server.http().with("if-none-match", &found.headers["etag"]).get("/v1/numbers/k000");
    assert_eq!((changed.status, changed.text().as_str()), (200, r#"{"generation":2}"#));
    assert_eq!(http.get("/v1/numbers/k000?version=1").text(), r#"{"generation":1}"#);
    assert_eq!(http.get("/v1/numbers/k000?version=3").status, 404);
    let raw = http.get("/v1/numbers/k000?raw=1");
    assert_eq!(raw.headers["content-type"], "application/octet-stream");
    let absent = http.get("/v1/numbers/none");
    assert_eq!((absent.status, absent.headers["cutover-version"].as_str()), (404, "2"));
    assert_eq!(http.get("/v1/other/k000").status, 404);
    assert_eq!(http.get("/v1/numbers/k000?verison=1").status, 400);
    assert_eq!(http.get("/nothing").status, 404);
    assert_eq!(http.post("/v1/numbers/k000", "").status, 405);
    let foreign = server.http().with("host", "evil.example").get("/v1/numbers/k000");
    assert_eq!(foreign.status, 403);
}

#[test]
fn batches_and_pages_are_of_one_version() {
    let (numbers, server) = served();
    let http = server.http();
    let batch = http.post("/v1/numbers/_batch", r#"["k001", "none", "k002"]"#).json();
    assert_eq!(batch["version"], 1);
    assert_eq!(batch["entries"][0], serde_json::json!({"key": "k001", "value": {"generation": 1}}));
    assert_eq!(batch["entries"][1], serde_json::json!({"key": "none", "value": null}));
    assert_eq!(http.post("/v1/numbers/_batch", "[1, 2").status, 400);
    let many = format!("[{}1]", "1,".repeat(10_000));
    assert_eq!(http.post("/v1/numbers/_batch", &many).status, 413);

    let first = http.get("/v1/numbers?prefix=k0&limit=60").json();
    assert_eq!(first["entries"].as_array().unwrap().len(), 60);
    numbers.run(2).ok();
    server.wait_for_version("numbers", 2);
    let next = first["next"].as_str().unwrap();
    let second = http.get(&format!("/v1/numbers?prefix=k0&limit=60&after={next}")).json();
    assert_eq!((&second["version"], second["entries"].as_array().unwrap().len()), (&serde_json::json!(1), 40));
    assert_eq!(second["entries"][0], serde_json::json!({"key": "k060", "value": {"generation": 1}}));
    assert!(second.get("next").is_none());
    assert_eq!(http.get("/v1/numbers?limit=0").status, 400);
    assert_eq!(http.get("/v1/numbers?after=1-00-00").status, 410);
    assert_eq!(http.get("/v1/numbers?after=x").status, 400);
}

#[test]
fn endpoints_for_operators_describe_what_is_served() {
    let (_numbers, server) = served();
    let http = server.http();
    server.resp().ask("MGET numbers:k000 numbers:none");
    assert_eq!(http.get("/healthz").status, 200);
    assert_eq!(http.get("/readyz").json()["ready"], true);
    let list = http.get("/v1").json();
    assert_eq!((&list["datasets"][0]["name"], &list["datasets"][0]["rows"]), (&"numbers".into(), &100.into()));
    let metrics = http.get("/metrics").text();
    for line in [
        "cutover_reads_total{dataset=\"numbers\",result=\"hit\"} 1",
        "cutover_reads_total{dataset=\"numbers\",result=\"miss\"} 1",
        "cutover_version{dataset=\"numbers\"} 1",
        "cutover_request_seconds_count{protocol=\"resp\"} 1",
        "cutover_dataset_ready{dataset=\"numbers\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    assert!(http.get("/").text().contains("<!doctype html>"));
    let described = http.get("/openapi.json").json();
    assert!(described["openapi"].as_str().unwrap().starts_with("3."));
}

#[test]
fn long_answers_are_compressed_for_clients_that_accept_it() {
    let (_numbers, server) = served();
    let path = "/v1/numbers?limit=100";
    let plain = server.http().get(path);
    assert!(!plain.headers.contains_key("content-encoding") && plain.headers["vary"] == "accept-encoding");
    for accepted in ["gzip", "zstd"] {
        let compressed = server.http().with("accept-encoding", accepted).get(path);
        assert_eq!(compressed.headers["content-encoding"], accepted);
        assert!(compressed.body.len() < plain.body.len() / 2);
        let body = match accepted {
            "gzip" => {
                let mut body = Vec::new();
                flate2::read::GzDecoder::new(&compressed.body[..]).read_to_end(&mut body).unwrap();
                body
            }
            _ => zstd::bulk::decompress(&compressed.body, plain.body.len()).unwrap(),
        };
        assert_eq!(body, plain.body);
        let known = server.http().with("if-none-match", &compressed.headers["etag"]).get("/v1/numbers/k000");
        assert_eq!(known.status, 304);
    }
    let short = server.http().with("accept-encoding", "gzip").get("/v1/numbers/k000");
    assert!(!short.headers.contains_key("content-encoding"));
}
