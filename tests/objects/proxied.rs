//! The proxy itself: without rules nothing is changed, and each fault is what its name says.

use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{Server, http, keys};
use cutover::internals::objects::Key;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[test]
fn requests_pass_unchanged() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let name = server.bucket();
    let (direct, by_proxy) = (Server::open(server.port(), &name), Server::open(proxy.port(), &name));
    for size in [0, 1, 100_000, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
        by_proxy.put(&key("a b/ü+%41=1"), bytes.clone()).unwrap();
        assert_eq!(direct.get(&key("a b/ü+%41=1"), u64::MAX).unwrap().unwrap().bytes, bytes);
        assert_eq!(by_proxy.get(&key("a b/ü+%41=1"), u64::MAX).unwrap().unwrap().bytes, bytes);
    }
    assert_eq!(keys(&by_proxy, None), ["a b/ü+%41=1"]);
    assert_eq!(proxy.seen(true), [""; 0]);
    assert_eq!(proxy.seen(false).len(), 9);
}

#[test]
fn rules_match_by_method_target_and_number() {
    let Some(server) = Server::shared() else { return };
    let refuse = |when| [Rule::new("GET", "/x", when, Fault::Refuse)];
    let statuses = |when| {
        let proxy = Proxy::before(server.port(), refuse(when));
        let ask = |(method, target)| http(proxy.port(), method, target).0;
        [("GET", "/x"), ("GET", "/y"), ("POST", "/x"), ("GET", "/x"), ("GET", "/x")]
            .map(ask)
            .map(|status| status == 503)
    };
    assert_eq!(statuses(When::Always), [true, false, false, true, true]);
    assert_eq!(statuses(When::Nth(2)), [false, false, false, true, false]);
    let refused = |seed| {
        let proxy = Proxy::before(server.port(), refuse(When::Percent(20, seed)));
        (0..100).map(|_| http(proxy.port(), "GET", "/x").0 == 503).collect::<Vec<_>>()
    };
    let first = refused(1);
    assert_eq!(first, refused(1), "a seed gives the same again");
    assert_ne!(first, refused(2));
    assert!((5..40).contains(&first.iter().filter(|refused| **refused).count()));
}
