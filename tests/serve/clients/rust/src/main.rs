//! What a program with the crate `redis` does with a server of the dataset of the tests. Its argument is the port.

use std::collections::HashMap;

use redis::{Client, Commands, ErrorKind, RedisResult, ServerErrorKind};

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    for protocol in ["resp2", "resp3"] {
        let url = |database: u32| format!("redis://127.0.0.1:{port}/{database}?protocol={protocol}");
        let mut client = Client::open(url(0))?.get_connection()?;
        let value: String = client.get("numbers:k000")?;
        assert_eq!(value, r#"{"generation":1}"#);
        let values: Vec<Option<String>> = client.mget(&["numbers:k001", "numbers:none"])?;
        assert_eq!(values, [Some(r#"{"generation":1}"#.to_owned()), None]);
        let fields: HashMap<String, u64> = client.hgetall("numbers:k001")?;
        assert_eq!(fields, HashMap::from([("generation".to_owned(), 1)]));
        let options = redis::ScanOptions::default().with_pattern("numbers:k0*").with_count(7);
        let keys = client.scan_options::<String>(options)?.collect::<RedisResult<Vec<String>>>()?;
        assert_eq!(keys.len(), 100);
        let mut pipe = redis::pipe();
        (0..1000).for_each(|at| _ = pipe.get(format!("numbers:k{:03}", at % 100)));
        let values: Vec<String> = pipe.query(&mut client)?;
        assert!(values.len() == 1000 && values.iter().all(|value| value == r#"{"generation":1}"#));
        let mut one = Client::open(url(1))?.get_connection()?;
        let value: String = one.get("k000")?;
        assert_eq!(value, r#"{"generation":1}"#);
        let size: usize = redis::cmd("DBSIZE").query(&mut one)?;
        assert_eq!(size, 100);
        let refused = client.set::<_, _, ()>("numbers:k000", "x").expect_err("a write is refused");
        assert_eq!(refused.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly));
    }
    println!("done");
    Ok(())
}
