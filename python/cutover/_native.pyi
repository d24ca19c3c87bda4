"""Types of the native module."""

from __future__ import annotations

import datetime
import os
from types import TracebackType
from typing import Any, Iterable, Iterator, Optional, Union

from typing_extensions import Self

from ._errors import CutoverError

__version__: str

class Reader:
    """Follows a store; see `cutover.Reader`."""

    def __init__(
        self,
        store: Union[str, os.PathLike[str]],
        *,
        cache: Union[str, os.PathLike[str], None] = None,
        refresh_every: Optional[float] = None,
        block_cache: int = 268435456,
    ) -> None: ...
    def snapshot(self) -> Version:
        """The version that readers see, at most `refresh_every` old. It never changes; the same object is returned
        until another version is published. The call that finds one opens it, which takes milliseconds."""
    def refresh(self) -> Version:
        """Looks for a new version now, and returns the one that is held. `last_error` says whether that succeeded."""
    def close(self) -> None:
        """Stops following. Versions that are held elsewhere stay open."""
    @property
    def last_error(self) -> Optional[CutoverError]:
        """Why the last look failed; None when it succeeded. A reader that cannot follow keeps the version it has."""
    @property
    def store(self) -> str:
        """The absolute path, or the URL."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: Optional[type[BaseException]] = None,
        error: Optional[BaseException] = None,
        trace: Optional[TracebackType] = None,
    ) -> None: ...

class Version:
    """One version of a dataset. It never changes, stays readable after retention deleted it, and can be used from any
    number of threads.

    Keys are Python values: one value for a key of one column, a tuple for one of several; or `bytes`, the stored key.
    Integers, floats and booleans are themselves, text is str, binary columns are bytes. Dates, times and timestamps
    may be given as objects of `datetime`, and decimals as `decimal.Decimal`; they come back as text (2026-11-22).

    Values are dicts, or lists of dicts where a job keeps several rows per key; str or bytes where the job stores one
    raw column. With ``raw=True`` they are the stored bytes. Numbers with a fraction are float, or `decimal.Decimal` in
    datasets that have a decimal column. Binary columns are str of hexadecimal digits; dates and times are str.
    """

    @property
    def number(self) -> int:
        """Its number."""
    @property
    def version(self) -> int:
        """Its number."""
    @property
    def dataset(self) -> str:
        """The dataset."""
    @property
    def as_of(self) -> datetime.datetime:
        """The time that its data is as of, in UTC, to the microsecond."""
    @property
    def schema(self) -> dict[str, Any]:
        """The columns of its keys and values: ``{"key": …, "value": …}``, as in its manifest."""
    @property
    def path(self) -> str:
        """Its directory, which exists as long as retention keeps it."""
    def get(self, key: Any, default: Any = None, *, raw: bool = False) -> Any:
        """The value of a key; `default` when the version does not have it.

        Raises:
            InvalidError, TypeError: it is not a key of this dataset.
            CorruptError: the version is damaged there.
            UnavailableError: the file system does not answer.
        """
    def multi_get(self, keys: Iterable[Any], *, raw: bool = False) -> list[Any]:
        """The values of many keys, in their order, None for those that are absent; faster than one `get` each.

        Raises: as `get`.
        """
    def scan(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> Entries:
        """The entries in the order of their keys: all, or those whose key begins with `prefix`, up to `limit`.

        A prefix is the first columns of a key, complete, as a tuple; the start of a key of one text column; or
        `bytes`, the start of the stored key.

        Raises: as `get`, also while iterating.
        """
    def to_arrow(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> ArrowStream:
        """The same entries as Arrow, read in batches as they are asked for: ``pyarrow.table(version.to_arrow())``,
        ``polars.DataFrame(version.to_arrow())``, ``duckdb.sql("FROM entries")`` with ``entries = version.to_arrow()``.

        Columns are those of the key and of the value; a value that is a list of rows is one column `entries`. With
        ``raw=True`` there are two binary columns, `key` and `value`.

        Raises:
            InvalidError: the dataset has raw values, or a type that is not decoded: use ``raw=True``.
        """
    def to_batches(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> ArrowBatches:
        """As `to_arrow`, as an iterator: ``pyarrow.record_batch(batch)`` for each.

        Raises: as `to_arrow`, and as `get` while iterating.
        """
    def __getitem__(self, key: Any) -> Any: ...
    def __contains__(self, key: Any) -> bool: ...
    # It raises a TypeError: `scan` has the entries.
    __iter__: None
    def __len__(self) -> int:
        """Its number of entries."""

class Entries(Iterator[tuple[Any, Any]]):
    """Pairs of key and value."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[Any, Any]: ...

class ArrowStream:
    """Entries for libraries that know Arrow's interface for Python. It can be read any number of times."""

    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: Optional[object] = None) -> object: ...

class ArrowBatches(Iterator[ArrowBatch]):
    """Batches of entries."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> ArrowBatch: ...

class ArrowBatch:
    """One batch of entries."""

    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: Optional[object] = None) -> tuple[object, object]: ...
