//! Warns about file systems on which `flock` may not exclude processes of other hosts.
//!
//! `flock` excludes the processes of one host. On network file systems and FUSE it may not exclude other hosts, or may
//! not exclude at all. Then the operator has to make sure that only one host builds.
//!
//! Not for: refusing such stores; building on a single host is safe on them.

use std::path::Path;

/// File systems that other hosts or a user-space program may share, by their `statfs` magic number.
const SHARED: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x0bd0_0bd0, "Lustre"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x4750_4653, "GPFS"),
];
/// The file system of containers: what is written there is deleted with the container.
const OVERLAY: u64 = 0x794c_7630;

/// Warns on standard error about the file system of `root`; does nothing if `statfs` fails.
pub(super) fn warn(root: &Path) {
    let Ok(stat) = rustix::fs::statfs(root) else { return };
    let kind = u64::from(stat.f_type as u32);
    if let Some(name) = shared(kind) {
        tracing::warn!(
            "the store at {} is on {name}, where locks may not reach other hosts: build and publish it on one host only",
            root.display()
        );
    } else if kind == OVERLAY {
        tracing::info!("the store at {} is in the container's writable layer, deleted with it", root.display());
    }
}

/// The name of a file system that other hosts or a user-space program may share.
fn shared(kind: u64) -> Option<&'static str> {
    SHARED.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_file_systems_are_recognized_and_local_ones_are_not() {
        assert_eq!(shared(0x6969), Some("NFS"));
        assert_eq!(shared(0xff53_4d42), Some("CIFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, OVERLAY] {
            assert_eq!(shared(local), None, "{local:x}");
        }
    }

    /// The numbers in the kernel's header, if it is installed.
    #[test]
    fn the_magic_numbers_are_those_of_the_kernel() {
        let Ok(header) = std::fs::read_to_string("/usr/include/linux/magic.h") else { return };
        for (name, number) in
            [("NFS_SUPER_MAGIC", 0x6969), ("FUSE_SUPER_MAGIC", 0x6573_5546), ("OVERLAYFS_SUPER_MAGIC", OVERLAY)]
        {
            let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(name)).unwrap_or_default();
            let value = line.split_whitespace().nth(2).unwrap_or_default();
            assert_eq!(u64::from_str_radix(value.trim_start_matches("0x"), 16), Ok(number), "{name}: {line}");
        }
    }
}
