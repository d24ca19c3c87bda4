//! codec: the bytes of keys and values, without Arrow: what readers and the command line need of them.
//!
//! ```text
//! key text ◀──▶ KeySchema::parse, to_json ◀──▶ tuple bytes ──▶ ShardRouter ──▶ shard
//! stored value ──▶ ValueSchema::to_json, to_text
//! ```
//! Not for: encoding columns of a query (`encode`), or what the schemas are (`format`).

mod avro_decode;
mod key_literals;
pub(crate) mod literals;
mod shard_router;
pub(crate) mod tuple;
mod value_literals;

pub(crate) use self::shard_router::ShardBy;
pub use self::shard_router::ShardRouter;

/// Appends the number of an entry to its key, as the last element of the tuple.
pub fn append_number(key: &mut Vec<u8>, n: u64) {
    tuple::write_u64(key, n);
}

/// Names for a message: `a, b, c`.
pub(crate) fn listing<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
