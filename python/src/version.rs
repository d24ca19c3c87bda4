//! `Version`: one immutable version of a dataset, and the entries of a scan.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover::serve;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDateTime, PyDict, PyList, PyTzInfo};

use crate::arrow_stream::{ArrowBatches, ArrowStream};
use crate::cursor::{Cursor, Entry};
use crate::detached::detached;
use crate::errors::{OrRaise, invalid};
use crate::values::{self, Decoder};
use crate::{fork, keys};

/// Entries that a scan reads at a time, and bytes after which it reads no more.
const ENTRIES_AT_A_TIME: u64 = 1024;
const BYTES_AT_A_TIME: usize = 4 << 20;

/// One version of a dataset. It never changes, stays readable after retention deleted it, and can be used from any
/// number of threads.
///
/// Keys are Python values: one value for a key of one column, a tuple for one of several; or `bytes`, the stored key.
/// Integers, floats and booleans are themselves, text is str, binary columns are bytes. Dates, times and timestamps
/// may be given as objects of `datetime`, and decimals as `decimal.Decimal`; they come back as text (2026-11-22).
///
/// Values are dicts, or lists of dicts where a job keeps several rows per key; str or bytes where the job stores one
/// raw column. With ``raw=True`` they are the stored bytes. Numbers with a fraction are float, or `decimal.Decimal` in
/// datasets that have a decimal column. Binary columns are str of hexadecimal digits; dates and times are str.
#[pyclass(frozen, module = "cutover")]
pub(crate) struct Version {
    inner: Arc<serve::Version>,
    decoder: Arc<Decoder>,
}

impl Version {
    pub(crate) fn new(py: Python<'_>, inner: Arc<serve::Version>) -> PyResult<Self> {
        let decoder = Arc::new(Decoder::new(py, inner.value_schema())?);
        Ok(Self { inner, decoder })
    }

    pub(crate) fn is(&self, other: &Arc<serve::Version>) -> bool {
        Arc::ptr_eq(&self.inner, other)
    }

    fn value<'py>(&self, py: Python<'py>, value: &[u8], raw: bool) -> PyResult<Bound<'py, PyAny>> {
        match raw {
            true => Ok(PyBytes::new(py, value).into_any()),
            false => self.decoder.decode(py, self.inner.value_schema(), value),
        }
    }

    fn cursor(&self, py: Python<'_>, prefix: Option<&Bound<'_, PyAny>>, limit: Option<u64>) -> PyResult<Cursor> {
        fork::check(py)?;
        let prefix = prefix.map(|prefix| keys::encode_prefix(self.inner.key_schema(), prefix)).transpose()?;
        Ok(Cursor::new(Arc::clone(&self.inner), prefix.unwrap_or_default(), limit))
    }
}

impl Drop for Version {
    /// In a forked process, databases stay open until it ends.
    fn drop(&mut self) {
        if fork::is_unsafe() {
            std::mem::forget(Arc::clone(&self.inner));
        }
    }
}

#[pymethods]
impl Version {
    /// Its number.
    #[getter]
    fn number(&self) -> u64 {
        self.inner.number()
    }

    /// Its number.
    #[getter]
    fn version(&self) -> u64 {
        self.inner.number()
    }

    /// The dataset.
    #[getter]
    fn dataset(&self) -> &str {
        &self.inner.manifest().dataset
    }

    /// The time that its data is as of, in UTC, to the microsecond.
    #[getter]
    fn as_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDateTime>> {
        let utc = PyTzInfo::utc(py)?;
        let micros = self.inner.manifest().as_of.as_microsecond();
        let second = PyDateTime::from_timestamp(py, micros.div_euclid(1_000_000) as f64, Some(&utc))?;
        let change = PyDict::new(py);
        change.set_item("microsecond", micros.rem_euclid(1_000_000))?;
        Ok(second.call_method("replace", (), Some(&change))?.cast_into()?)
    }

    /// The columns of its keys and values: ``{"key": …, "value": …}``, as in its manifest.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let manifest = self.inner.manifest();
        values::of_json(py, &serde_json::json!({"key": manifest.key, "value": manifest.value}))
    }

    /// Its directory, which exists as long as retention keeps it.
    #[getter]
    fn path(&self) -> String {
        self.inner.directory().display().to_string()
    }

    /// The value of a key; `default` when the version does not have it.
    ///
    /// Raises:
    ///     InvalidError, TypeError: it is not a key of this dataset.
    ///     CorruptError: the version is damaged there.
    ///     UnavailableError: the file system does not answer.
    #[pyo3(signature = (key, default=None, *, raw=false))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        raw: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        fork::check(py)?;
        let key = keys::encode(self.inner.key_schema(), key)?;
        match detached(py, || self.inner.get(&key)).or_raise(py)? {
            Some(value) => self.value(py, &value, raw).map(Some),
            None => Ok(default),
        }
    }

    /// The values of many keys, in their order, None for those that are absent; faster than one `get` each.
    ///
    /// Raises: as `get`.
    #[pyo3(signature = (keys, *, raw=false))]
    fn multi_get<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>, raw: bool) -> PyResult<Bound<'py, PyList>> {
        fork::check(py)?;
        let schema = self.inner.key_schema();
        let keys = keys.try_iter()?.map(|key| keys::encode(schema, &key?)).collect::<PyResult<Vec<_>>>()?;
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = detached(py, || self.inner.multi_get(&asked)).or_raise(py)?;
        let found = found.iter().map(|value| value.as_deref().map(|value| self.value(py, value, raw)).transpose());
        PyList::new(py, found.collect::<PyResult<Vec<_>>>()?)
    }

    /// The entries in the order of their keys: all, or those whose key begins with `prefix`, up to `limit`.
    ///
    /// A prefix is the first columns of a key, complete, as a tuple; the start of a key of one text column; or
    /// `bytes`, the start of the stored key.
    ///
    /// Raises: as `get`, also while iterating.
    #[pyo3(signature = (prefix=None, limit=None, *, raw=false))]
    fn scan(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        limit: Option<u64>,
        raw: bool,
    ) -> PyResult<Entries> {
        let state = State { cursor: self.cursor(py, prefix, limit)?, ready: VecDeque::new() };
        Ok(Entries { decoder: Arc::clone(&self.decoder), raw, state: Mutex::new(state), asked: AtomicU64::new(0) })
    }

    /// The same entries as Arrow, read in batches as they are asked for: ``pyarrow.table(version.to_arrow())``,
    /// ``polars.DataFrame(version.to_arrow())``, ``duckdb.sql("FROM entries")`` with ``entries = version.to_arrow()``.
    ///
    /// Columns are those of the key and of the value; a value that is a list of rows is one column `entries`. With
    /// ``raw=True`` there are two binary columns, `key` and `value`.
    ///
    /// Raises:
    ///     InvalidError: the dataset has raw values, or a type that is not decoded: use ``raw=True``.
    #[pyo3(signature = (prefix=None, limit=None, *, raw=false))]
    fn to_arrow(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        limit: Option<u64>,
        raw: bool,
    ) -> PyResult<ArrowStream> {
        ArrowStream::new(self.cursor(py, prefix, limit)?, raw).map_err(|message| invalid(py, message))
    }

    /// As `to_arrow`, as an iterator: ``pyarrow.record_batch(batch)`` for each.
    ///
    /// Raises: as `to_arrow`, and as `get` while iterating.
    #[pyo3(signature = (prefix=None, limit=None, *, raw=false))]
    fn to_batches(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        limit: Option<u64>,
        raw: bool,
    ) -> PyResult<ArrowBatches> {
        Ok(self.to_arrow(py, prefix, limit, raw)?.batches())
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, &key, None, false)?.ok_or_else(|| PyKeyError::new_err(key.unbind()))
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.get(py, key, None, true)?.is_some())
    }

    /// Python would otherwise look for the keys 0, 1, 2, ….
    fn __iter__(&self) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err("a Version is not iterable: use scan(), which returns its entries"))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.inner.manifest().rows).unwrap_or(usize::MAX)
    }

    fn __repr__(&self) -> String {
        let manifest = self.inner.manifest();
        format!("<cutover.Version {} of {:?}, {} entries>", manifest.version, manifest.dataset, manifest.rows)
    }
}

/// Pairs of key and value.
#[pyclass(frozen, module = "cutover")]
pub(crate) struct Entries {
    decoder: Arc<Decoder>,
    raw: bool,
    state: Mutex<State>,
    /// Entries that were asked for.
    asked: AtomicU64,
}

struct State {
    cursor: Cursor,
    ready: VecDeque<Entry>,
}

impl State {
    fn next(&mut self) -> cutover::error::Result<Option<Entry>> {
        if self.ready.is_empty() {
            let ready = &mut self.ready;
            self.cursor.piece(ENTRIES_AT_A_TIME, BYTES_AT_A_TIME, |key, value| {
                ready.push_back((key.to_vec(), value.to_vec()));
                Ok(())
            })?;
        }
        Ok(self.ready.pop_front())
    }
}

#[pymethods]
impl Entries {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        fork::check(py)?;
        // `list()` runs no Python code between two entries, which would handle signals.
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(ENTRIES_AT_A_TIME) {
            py.check_signals()?;
        }
        // The lock is taken without the interpreter's, which its holder may wait for.
        let next = detached(py, || {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next().map(|entry| (entry, state.cursor.share()))
        });
        let (entry, version) = next.or_raise(py)?;
        let Some((key, value)) = entry else { return Ok(None) };
        if self.raw {
            return Ok(Some((PyBytes::new(py, &key).into_any(), PyBytes::new(py, &value).into_any())));
        }
        let key = keys::decode(py, version.key_schema(), &key)?;
        Ok(Some((key, self.decoder.decode(py, version.value_schema(), &value)?)))
    }
}
