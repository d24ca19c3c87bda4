//! Which names below a store's prefix are Cutover's: whatever has another name is another program's, and is neither
//! deleted nor taken for a part of the store.
//!
//! Not for: whether such an object is still needed (`sweep`).

/// Whether a name has the form of a build's ID, `YYYYMMDDTHHMMSSZ-xxxxxxxx`, as `pipeline` makes them.
pub(super) fn is_build_id(name: &str) -> bool {
    let Some((time, random)) = name.split_once('-') else { return false };
    let time = time.strip_suffix('Z').and_then(|time| time.split_once('T'));
    time.is_some_and(|(day, clock)| is_decimal(day, 8) && is_decimal(clock, 6)) && is_hex(random, 8)
}

/// Whether a key below a store's prefix is one that stores have.
pub(super) fn is_of_store(key: &str) -> bool {
    let (first, rest) = key.split_once('/').unwrap_or((key, ""));
    match first {
        "current.json" | "lease.json" | "building.json" => rest.is_empty(),
        "log" | "replicas" => rest.ends_with(".json"),
        "versions" | "uploads" => is_build_id(rest.split('/').next().unwrap_or_default()),
        _ => rest.is_empty() && first.strip_prefix("probe-").is_some_and(|random| is_hex(random, 16)),
    }
}

/// Whether an object of this key and size may stand for a directory, as consoles create them: it is empty, and its name
/// has no extension.
pub(super) fn may_be_directory(key: &str, bytes: u64) -> bool {
    bytes == 0 && !key.rsplit('/').next().unwrap_or_default().contains('.')
}

fn is_decimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_builds_differ_from_other_names() {
        assert!(is_build_id("20260102T030405Z-0123abcd"));
        let others = [
            "",
            "notes.txt",
            "2026",
            "20260102T030405Z",
            "20260102T030405Z-",
            "20260102T030405Z-0123abc",
            "20260102T030405Z-0123ABCD",
            "20260102T030405Z-0123abcd-old",
            "20260102T030405Z-0123abcd.bak",
            "copy-20260102T030405Z-0123abcd",
            "20260102T0304Z-0123abcd",
            "2026010 T030405Z-0123abcd",
        ];
        for other in others {
            assert!(!is_build_id(other), "{other:?}");
        }
    }

    #[test]
    fn objects_of_a_store_differ_from_others() {
        let table = "versions/20260102T030405Z-0123abcd/shard-00000/000012.sst";
        let note = "uploads/20260102T030405Z-0123abcd/0123456789abcdef.json";
        let own = [
            "current.json",
            "lease.json",
            "building.json",
            "log/20260102T030405.000000000Z-0123456789abcdef.json",
            "replicas/edge-7.json",
            "probe-0123456789abcdef",
            table,
            note,
        ];
        own.iter().for_each(|key| assert!(is_of_store(key), "{key}"));
        let foreign = [
            "notes.txt",
            "current.json.bak",
            "current.json/x",
            "log/app.txt",
            "log",
            "probe-7",
            "in/current.json",
            "versions/1/a.jar",
            "uploads/photo.png",
        ];
        foreign.iter().for_each(|key| assert!(!is_of_store(key), "{key}"));
        assert!(may_be_directory("a/in", 0) && !may_be_directory("a/in", 1) && !may_be_directory("a/in.csv", 0));
    }
}
