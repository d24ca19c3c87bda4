//! `log/events.jsonl`: the append-only log of what was done to a store, one JSON object per line.
//!
//! It is for users and decides nothing: a change is in effect once `current.json` has it, so an event that cannot be
//! written is a warning, not a failure of the command. Readers skip lines that are not complete events, such as one
//! torn by a power cut or one written by a newer program.
//!
//! Not for: what an event says (`event`), or the progress and tracing of a run, which go to standard error.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::event::{Action, Event, by};
use super::layout::Layout;
use super::remote::{Remote, RemoteLog};
use crate::durable_file::fs::{File, OpenOptions};
use crate::durable_file::{self, fs};
use crate::error::{IoContext, Result};
use crate::failpoint;
use crate::format::to_json;

/// Longest line that is read, in bytes; events are far shorter.
const LONGEST_LINE: u64 = 1 << 20;

/// The event log of one store.
#[derive(Clone, Debug)]
pub struct Log {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    File(LogFile),
    Objects(RemoteLog),
}

/// The event log of a local store.
#[derive(Clone, Debug)]
struct LogFile {
    path: PathBuf,
    directory: PathBuf,
}

impl Log {
    pub(super) fn new(layout: &Layout, remote: Option<&Remote>) -> Self {
        let file = || LogFile { path: layout.events(), directory: layout.log_dir() };
        let place = remote.map_or_else(|| Place::File(file()), |remote| Place::Objects(RemoteLog::new(remote.clone())));
        Self { place }
    }

    /// Appends an event that happened now; a failure to write it is only a warning.
    pub fn record(&self, event: Action, version: Option<u64>, detail: impl Into<String>) {
        let entry = Event { at: Timestamp::now(), event, version, by: by(), detail: detail.into() };
        let appended = match &self.place {
            Place::File(file) => file.append(&entry),
            Place::Objects(objects) => objects.append(&entry),
        };
        if let Err(error) = appended {
            tracing::warn!("the log lacks an event ({event:?}, version {version:?}): {}", error.chain().join(": "));
        }
    }

    /// The latest readable events, at most `limit`, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when they cannot be read. A missing log has no events.
    pub fn events(&self, limit: usize) -> Result<Vec<Event>> {
        match &self.place {
            Place::File(file) => file.events(limit),
            Place::Objects(objects) => objects.events(limit),
        }
    }
}

impl LogFile {
    /// Appends an event and syncs it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written.
    fn append(&self, event: &Event) -> Result<()> {
        failpoint::reach("log.append")?;
        durable_file::create_dir_durable(&self.directory)?;
        let new = !fs::exists(&self.path).io("stat", &self.path)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let mut file = options.open(&self.path).io("open", &self.path)?;
        let mut line = to_json(event)?;
        line.push(b'\n');
        if !ends_line(&mut file).io("read", &self.path)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line).and_then(|()| file.sync_all()).io("write", &self.path)?;
        if new { durable_file::sync_dir(&self.directory) } else { Ok(()) }
    }

    /// The latest readable events, at most `limit`, oldest first. Lines that are too long for an event are skipped.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read. A missing file has no events.
    fn events(&self, limit: usize) -> Result<Vec<Event>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.io("open", &self.path)?,
        };
        let (mut file, mut line, mut events) = (BufReader::new(file), Vec::new(), VecDeque::new());
        loop {
            line.clear();
            let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).io("read", &self.path)?;
            if read == 0 {
                return Ok(events.into());
            }
            if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
                file.skip_until(b'\n').io("read", &self.path)?;
                continue;
            }
            events.extend(serde_json::from_slice::<Event>(&line));
            if events.len() > limit {
                events.pop_front();
            }
        }
    }
}

/// Whether a file is empty or ends with a newline; otherwise its last line was torn.
fn ends_line(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_in_order_and_a_torn_line_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::new(&Layout::new(directory.path()), None);
        assert_eq!(log.events(10).unwrap(), []);
        log.record(Action::Built, Some(1), "10 rows");
        log.record(Action::Published, Some(1), "");
        let whole = std::fs::read(Layout::new(directory.path()).events()).unwrap();
        std::fs::write(Layout::new(directory.path()).events(), &whole[..whole.len() - 9]).unwrap();
        log.record(Action::Pinned, Some(1), "incident");
        let events: Vec<_> = log.events(10).unwrap().into_iter().map(|event| (event.event, event.detail)).collect();
        assert_eq!(events, [(Action::Built, "10 rows".to_owned()), (Action::Pinned, "incident".to_owned())]);
    }

    #[test]
    fn the_last_events_are_read_and_a_line_without_end_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::new(&Layout::new(directory.path()), None);
        (1..=9).for_each(|version| log.record(Action::Built, Some(version), ""));
        let mut file = std::fs::OpenOptions::new().append(true).open(Layout::new(directory.path()).events()).unwrap();
        file.write_all(&vec![b'x'; 3 * LONGEST_LINE as usize]).unwrap();
        log.record(Action::Built, Some(10), "");
        file.write_all(&vec![b'y'; LONGEST_LINE as usize]).unwrap();
        let versions: Vec<_> = log.events(3).unwrap().into_iter().filter_map(|event| event.version).collect();
        assert_eq!(versions, [8, 9, 10]);
        assert_eq!(log.events(0).unwrap(), []);
    }

    #[test]
    fn an_event_that_cannot_be_written_fails_no_command() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("log"), "a file where the directory should be").unwrap();
        Log::new(&Layout::new(directory.path()), None).record(Action::Built, Some(1), "");
    }
}
