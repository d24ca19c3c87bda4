"""Reads stores of Cutover, follows their versions, and runs the command.

    import cutover

    cutover.run("jobs/planes.toml")                  # builds, checks, publishes; returns the JSON document
    with cutover.Reader("stores/planes") as reader:  # follows the store
        version = reader.snapshot()                  # in each request: one whole version
        version.get("N10156")                        # {'year': 2004, 'type': 'Fixed wing multi engine', …}

Not for: changing a store by hand. The commands do that, with their checks.
"""

from __future__ import annotations

from ._commands import (
    command,
    consume,
    demo,
    gc,
    get,
    init,
    log,
    path,
    pin,
    plan,
    publish,
    pull,
    rollback,
    run,
    show,
    unpin,
    verify,
    verify_crash,
    versions,
)
from ._errors import (
    ConflictError,
    CorruptError,
    CutoverError,
    InputError,
    InternalError,
    InvalidError,
    RejectedError,
    StoppedError,
    UnavailableError,
)
from ._native import ArrowBatch, ArrowBatches, ArrowStream, Entries, Version, __version__
from ._reader import Reader

__all__ = [
    "ArrowBatch",
    "ArrowBatches",
    "ArrowStream",
    "ConflictError",
    "CorruptError",
    "CutoverError",
    "Entries",
    "InputError",
    "InternalError",
    "InvalidError",
    "Reader",
    "RejectedError",
    "StoppedError",
    "UnavailableError",
    "Version",
    "__version__",
    "command",
    "consume",
    "demo",
    "gc",
    "get",
    "init",
    "log",
    "path",
    "pin",
    "plan",
    "publish",
    "pull",
    "rollback",
    "run",
    "show",
    "unpin",
    "verify",
    "verify_crash",
    "versions",
]
