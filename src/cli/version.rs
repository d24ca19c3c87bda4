//! What `cutover --version` prints: the version, and what this command was built from and with.
//!
//! Releases set `CUTOVER_COMMIT` when they are compiled; other builds do not, so that a commit alone compiles nothing
//! again.

use std::sync::LazyLock;

static LONG: LazyLock<String> = LazyLock::new(|| {
    let features = [("build", true), ("cluster", cfg!(feature = "cluster")), ("portable", cfg!(feature = "portable"))];
    let features: Vec<&str> = features.into_iter().filter_map(|(name, is_on)| is_on.then_some(name)).collect();
    let openssl = if cfg!(feature = "portable") { "linked in" } else { "the system's" };
    let lines = [
        env!("CARGO_PKG_VERSION").to_owned(),
        format!("commit    {}", option_env!("CUTOVER_COMMIT").unwrap_or("not a release")),
        format!("features  {}", features.join(", ")),
        format!("OpenSSL   {openssl}"),
        format!("platform  {}-{}", std::env::consts::ARCH, std::env::consts::OS),
    ];
    lines.join("\n")
});

/// The lines of `cutover --version`, behind the name of the command.
pub(super) fn long() -> &'static str {
    &LONG
}
