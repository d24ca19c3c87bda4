//! `Reader`: follows a store in a directory, or one on an object store by a local copy.

use std::path::{self, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutover::error::{Error, Kind};
use cutover::{pull, serve};
use pyo3::prelude::*;

use crate::detached::detached;
use crate::errors::{OrRaise, invalid, raised};
use crate::fork;
use crate::version::Version;

/// Bytes of data blocks that a reader keeps by default.
const BLOCK_CACHE: usize = 256 << 20;
/// Shortest and longest time between two checks that are made.
const LOOK_EVERY: std::ops::RangeInclusive<f64> = 0.001..=86_400.0;

enum Followed {
    Local(serve::Reader),
    Remote(pull::Reader),
}

impl Followed {
    fn reader(&self) -> &serve::Reader {
        match self {
            Self::Local(reader) => reader,
            Self::Remote(reader) => reader,
        }
    }

    fn last_error(&self) -> Option<Arc<Error>> {
        match self {
            Self::Local(reader) => reader.last_error(),
            Self::Remote(reader) => reader.last_error(),
        }
    }
}

/// Follows a store; see `cutover.Reader`.
#[pyclass(frozen, module = "cutover", subclass)]
pub(crate) struct Reader {
    store: String,
    /// None once it is closed.
    followed: Mutex<Option<Arc<Followed>>>,
    /// The version that the last snapshot was of.
    last: Mutex<Option<Py<Version>>>,
}

impl Reader {
    fn followed(&self, py: Python<'_>) -> PyResult<Arc<Followed>> {
        fork::check(py)?;
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        followed.ok_or_else(|| invalid(py, format!("the reader of {} is closed", self.store)))
    }

    /// The Python object for a version: the same one as long as the version is the same.
    fn shown(&self, py: Python<'_>, version: Arc<serve::Version>) -> PyResult<Py<Version>> {
        {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = last.as_ref().filter(|known| known.get().is(&version)) {
                return Ok(known.clone_ref(py));
            }
        }
        let shown = Py::new(py, Version::new(py, version)?)?;
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(shown.clone_ref(py));
        drop(before);
        Ok(shown)
    }
}

fn is_url(store: &Path) -> bool {
    store.to_string_lossy().contains("://")
}

fn absolute(py: Python<'_>, path: &Path) -> PyResult<PathBuf> {
    path::absolute(path).map_err(|error| {
        let message = format!("{path:?} cannot be made an absolute path");
        raised(py, &Error::new(Kind::Invalid, message).because(error))
    })
}

impl Drop for Reader {
    /// In a forked process, the thread that closing waits for does not exist.
    fn drop(&mut self) {
        if fork::is_unsafe() {
            std::mem::forget(self.followed.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[pymethods]
impl Reader {
    #[new]
    #[pyo3(signature = (store, *, cache=None, refresh_every=None, block_cache=BLOCK_CACHE))]
    fn open(
        py: Python<'_>,
        store: PathBuf,
        cache: Option<PathBuf>,
        refresh_every: Option<f64>,
        block_cache: usize,
    ) -> PyResult<Self> {
        let is_remote = is_url(&store);
        // The program may change its working directory.
        let store = if is_remote { store } else { absolute(py, &store)? };
        let cache = cache.map(|cache| absolute(py, &cache)).transpose()?;
        let name = store.display().to_string();
        let every = refresh_every.map(|seconds| match LOOK_EVERY.contains(&seconds) {
            true => Ok(Duration::from_secs_f64(seconds)),
            false => Err(invalid(py, format!("refresh_every={seconds} is not between a millisecond and a day"))),
        });
        let every = every.transpose()?;
        if is_remote != cache.is_some() {
            return Err(invalid(
                py,
                match is_remote {
                    true => format!("a reader of {name} needs a local directory to keep versions in: cache=…"),
                    false => format!("{name} is a directory, and read where it is: leave out cache"),
                },
            ));
        }
        fork::opening(py)?;
        let followed = detached(py, || match cache {
            Some(cache) => {
                let options = pull::Options::new(&name, cache).following();
                let look_every = every.unwrap_or(options.look_every);
                pull::Reader::follow(pull::Options { look_every, ..options }).map(Followed::Remote)
            }
            None => {
                let store = serve::Store::with_cache(store, block_cache)?;
                let every = every.unwrap_or(serve::Reader::REFRESH_EVERY);
                serve::Reader::follow(store, every).map(Followed::Local)
            }
        });
        let followed = Arc::new(followed.or_raise(py)?);
        Ok(Self { store: name, followed: Mutex::new(Some(followed)), last: Mutex::new(None) })
    }

    /// The version that readers see, at most `refresh_every` old. It never changes; the same object is returned
    /// until another version is published. The call that finds one opens it, which takes milliseconds.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Py<Version>> {
        let followed = self.followed(py)?;
        let version = detached(py, || followed.reader().snapshot());
        self.shown(py, version)
    }

    /// Looks for a new version now, and returns the one that is held. `last_error` says whether that succeeded.
    fn refresh(&self, py: Python<'_>) -> PyResult<Py<Version>> {
        let followed = self.followed(py)?;
        let version = detached(py, || followed.reader().refresh());
        self.shown(py, version)
    }

    /// Why the last look failed; None when it succeeded. A reader that cannot follow keeps the version it has.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> PyResult<Option<PyErr>> {
        let followed = self.followed(py)?;
        let error = detached(py, || followed.last_error());
        // Being stopped is how a follower ends.
        Ok(error.filter(|error| error.kind() != Kind::Stopped).map(|error| raised(py, &error)))
    }

    /// The absolute path, or the URL.
    #[getter]
    fn store(&self) -> &str {
        &self.store
    }

    /// Stops following. Versions that are held elsewhere stay open.
    fn close(&self, py: Python<'_>) {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(last);
        detached(py, || drop(followed));
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        format!("<cutover.Reader of {}>", self.store)
    }
}
