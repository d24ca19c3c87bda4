//! What can change while a server runs: the password, the certificate, and the directory of stores.
//!
//! Each is checked every second, and immediately after SIGHUP. What cannot be read stays as it was.
//!
//! Not for: versions of a dataset (`watcher`).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;

use super::Server;
use super::events::{Event, Events};
use super::registry::Sources;
use super::settings::Settings;
use super::source::Source;
use crate::error::{Error, Result};

/// Time between two checks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reads again what changed.
pub struct Reloader {
    server: Arc<Server>,
    sources: Sources,
    fixed: Vec<Source>,
    stores: Option<PathBuf>,
    password: Option<Watched>,
    certificate: Vec<Watched>,
    asked: Arc<AtomicBool>,
    next: Instant,
    events: Events,
    stores_problem: Option<String>,
}

/// A file and how it was when it was read.
struct Watched {
    file: PathBuf,
    seen: Option<(u64, i64, i64, u64)>,
}

impl Watched {
    fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), seen: Self::look(file) }
    }

    fn look(file: &Path) -> Option<(u64, i64, i64, u64)> {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
    }

    fn has_changed(&mut self) -> bool {
        let now = Self::look(&self.file);
        std::mem::replace(&mut self.seen, now) != now
    }
}

impl Reloader {
    /// Serves the datasets of the settings, and listens to SIGHUP.
    ///
    /// # Errors
    /// `Unavailable` when the directory of stores cannot be read, or the signal not be handled.
    pub fn start(settings: &Settings, server: Arc<Server>, sources: Sources, events: Events) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&asked))
            .map_err(|error| Error::unavailable("cannot install a signal handler").because(error))?;
        let files = settings.tls.iter().flat_map(|(certificates, key)| [certificates, key]);
        let mut reloader = Self {
            server,
            sources,
            fixed: settings.sources.clone(),
            stores: settings.stores.clone(),
            password: settings.password_file.as_deref().map(Watched::new),
            certificate: files.map(|file| Watched::new(file)).collect(),
            asked,
            next: Instant::now() + POLL_INTERVAL,
            events,
            stores_problem: None,
        };
        let wanted = reloader.wanted()?;
        reloader.sources.become_these(&wanted, true)?;
        Ok(reloader)
    }

    /// The datasets that the flags name, and those in the directory of stores.
    fn wanted(&self) -> Result<Vec<Source>> {
        let mut wanted = self.fixed.clone();
        if let Some(directory) = &self.stores {
            wanted.extend(Source::in_directory(directory, &self.fixed)?);
        }
        Ok(wanted)
    }

    /// Looks, if it is time.
    ///
    /// # Errors
    /// `Unavailable` when a thread cannot be started.
    pub fn look(&mut self) -> Result<()> {
        let is_asked = self.asked.swap(false, Ordering::Relaxed);
        if !is_asked && Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + POLL_INTERVAL;
        if let Some(password) = &mut self.password
            && (password.has_changed() || is_asked)
        {
            let file = password.file.clone();
            self.report_failure("password", self.server.auth.load(&file));
        }
        // Every file is looked at: one that changed is not reported again.
        let changed = self.certificate.iter_mut().filter_map(|file| file.has_changed().then_some(())).count();
        if let Some(tls) = &self.server.tls
            && (changed > 0 || is_asked)
        {
            self.report_failure("certificate", tls.reload());
        }
        match self.wanted() {
            Ok(wanted) => {
                self.stores_problem = None;
                self.sources.become_these(&wanted, false)
            }
            Err(error) => {
                let problem = Some(error.chain().join(": "));
                if self.stores_problem != problem {
                    self.report_failure("stores", Err(error));
                    self.stores_problem = problem;
                }
                Ok(())
            }
        }
    }

    fn report_failure(&self, what: &'static str, outcome: Result<()>) {
        let problem = outcome.err().map(|error| error.chain().join(": "));
        self.events.send(Event::Reloaded { what, problem });
    }
}
