//! Fingerprints of the inputs: their digest, and a check before the flip that they have not changed.
//!
//! Files are compared by path, size and modification time, as build tools do; a file rewritten within the clock's
//! resolution with the same size is not noticed.
//!
//! Not for: checking what the files contain.

use std::fs;

use xxhash_rust::xxh3::Xxh3Default;

use super::Input;
use crate::error::{Error, Result};

/// A digest of the file lists of all inputs: 32 hexadecimal digits.
pub fn digest(inputs: &[Input]) -> String {
    let mut hasher = Xxh3Default::new();
    for (input, file) in inputs.iter().flat_map(|input| input.files.iter().map(move |file| (input, file))) {
        let line = format!("{}\0{}\0{}\0{}\n", input.name, file.path.display(), file.bytes, file.modified);
        hasher.update(line.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

/// Checks every file again.
///
/// # Errors
/// `Input`, naming the file, if one is gone or its size or modification time differs.
pub fn check_unchanged(inputs: &[Input]) -> Result<()> {
    for file in inputs.iter().flat_map(|input| &input.files) {
        let now = fs::metadata(&file.path).ok().and_then(|metadata| {
            let modified = jiff::Timestamp::try_from(metadata.modified().ok()?).ok()?;
            Some((metadata.len(), modified))
        });
        if now != Some((file.bytes, file.modified)) {
            let what = if now.is_some() { "changed" } else { "disappeared" };
            return Err(Error::input(format!(
                "{} {what} while it was being read, so the result may mix old and new rows; nothing was published. \
                 Run again when its writer is done",
                file.path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::InputFile;
    use crate::job::Format;

    #[test]
    fn a_change_is_noticed_and_changes_the_digest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        fs::write(&path, b"one").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let file = InputFile {
            path: path.clone(),
            bytes: 3,
            modified: modified.try_into().unwrap(),
            partitions: vec![],
            footer: None,
        };
        let mut input = Input {
            name: "a".to_owned(),
            format: Format::Parquet,
            csv: Default::default(),
            files: vec![file],
            partition_columns: vec![],
            partitions: None,
            contract: None,
            schema: None,
            surveyed: Default::default(),
        };
        check_unchanged(&[input.clone()]).unwrap();
        let before = digest(&[input.clone()]);
        fs::write(&path, b"longer").unwrap();
        assert!(check_unchanged(&[input.clone()]).unwrap_err().message().contains("changed"));
        fs::remove_file(&path).unwrap();
        assert!(check_unchanged(&[input.clone()]).unwrap_err().message().contains("disappeared"));
        input.files[0].bytes = 6;
        assert_ne!(digest(&[input]), before);
    }
}
