//! Who works on a store here: the host and the user, for locks, leases and events.
//!
//! Not for: permissions. Names are for people and decide nothing.

/// This host's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user of this process.
pub(super) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| of_process())
}

/// The user where the environment does not say, as in cron jobs and containers.
fn of_process() -> String {
    let uid = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&known, uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// The name of a user in a list such as `/etc/passwd`.
fn name_in(known: &str, uid: u32) -> Option<&str> {
    let is_theirs = |line: &&str| line.split(':').nth(2).is_some_and(|id| id.parse() == Ok(uid));
    known.lines().find(is_theirs)?.split(':').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let known = "root:x:0:0:root:/root:/bin/sh\n\nbroken\njo:x:1000:1000::/home/jo:/bin/sh\n:x:7:7:::\n";
        assert_eq!((name_in(known, 0), name_in(known, 1000)), (Some("root"), Some("jo")));
        assert_eq!((name_in(known, 7), name_in(known, 8)), (None, None));
    }
}
