"""`Reader`: the native reader, and reads of its current version for programs that need only one at a time."""

from __future__ import annotations

import datetime
from typing import Any, Iterable, Optional

from . import _native


class Reader(_native.Reader):
    """Follows a store: a directory, or a URL whose versions are kept in the directory `cache`.

    Args:
        store: path, or ``s3://…``, ``gs://…``, ``az://…``; credentials come from the environment. A relative path is
            made absolute at once.
        cache: for a URL, the directory that one reader at a time keeps up to date.
        refresh_every: seconds between two checks for a new version; 0.2 for a directory, 5 for a URL. After one that
            failed, at least two seconds for a directory.
        block_cache: bytes of data blocks to keep; for a directory.

    Use one reader per store and process, from any thread. Do all reads that belong together on one `snapshot()`.
    The methods below take a new snapshot each.

    Raises:
        UnavailableError: nothing is published, or the store does not answer.
        ConflictError: another reader keeps `cache` up to date; open that directory instead: ``Reader(cache)``.
        CorruptError: the published version is damaged.
        InvalidError: there is no such store, or wrong arguments; or the process was forked from one that had opened a
            reader.
    """

    def get(self, key: Any, default: Any = None, *, raw: bool = False) -> Any:
        """As `Version.get`, of the current version."""
        return self.snapshot().get(key, default, raw=raw)

    def multi_get(self, keys: Iterable[Any], *, raw: bool = False) -> list[Any]:
        """As `Version.multi_get`, of the current version: all values are of one version."""
        return self.snapshot().multi_get(keys, raw=raw)

    def scan(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> _native.Entries:
        """As `Version.scan`, of the current version: all entries are of one version."""
        return self.snapshot().scan(prefix, limit, raw=raw)

    def to_arrow(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> _native.ArrowStream:
        """As `Version.to_arrow`, of the current version."""
        return self.snapshot().to_arrow(prefix, limit, raw=raw)

    def to_batches(self, prefix: Any = None, limit: Optional[int] = None, *, raw: bool = False) -> _native.ArrowBatches:
        """As `Version.to_batches`, of the current version."""
        return self.snapshot().to_batches(prefix, limit, raw=raw)

    @property
    def version(self) -> int:
        """The number of the current version."""
        return self.snapshot().number

    @property
    def as_of(self) -> datetime.datetime:
        """The time that the current version's data is as of, in UTC."""
        return self.snapshot().as_of

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of the current version's keys and values: ``{"key": …, "value": …}``, as in its manifest."""
        return self.snapshot().schema
