"""One exception per kind of error, as in the JSON documents and the exit codes: the kind says what to do next."""

from __future__ import annotations

from typing import Any, Optional, Sequence


class CutoverError(Exception):
    """What went wrong. Its subclasses are the kinds.

    Attributes:
        kind: ``"invalid"``, ``"input"``, ``"unavailable"``, ``"conflict"``, ``"corrupt"``, ``"rejected"``,
            ``"stopped"`` or ``"internal"``.
        message: what failed.
        causes: why, outermost first.
        document: the command's JSON document; None for errors of a reader.
    """

    kind = "internal"

    def __init__(self, message: str, causes: Sequence[str] = (), document: Optional[dict[str, Any]] = None) -> None:
        super().__init__(": ".join([message, *causes]))
        self.message = message
        self.causes = list(causes)
        self.document = document

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.causes, self.document)


class InvalidError(CutoverError):
    """A job, a key or an argument is wrong: fix it."""

    kind = "invalid"


class InputError(CutoverError):
    """The source data breaks the job: fix the data or the contract."""

    kind = "input"


class UnavailableError(CutoverError):
    """Something did not answer, is full, or nothing is published yet: try again."""

    kind = "unavailable"


class ConflictError(CutoverError):
    """Another process holds the lock, or changed the store: wait, then try again."""

    kind = "conflict"


class CorruptError(CutoverError):
    """What is stored is damaged: do not use it."""

    kind = "corrupt"


class RejectedError(CutoverError):
    """A check stopped the publish: inspect the version."""

    kind = "rejected"


class StoppedError(CutoverError):
    """A signal stopped it: start it again."""

    kind = "stopped"


class InternalError(CutoverError):
    """A bug in Cutover: please report it."""

    kind = "internal"


_KINDS = {error.kind: error for error in CutoverError.__subclasses__()}


def of_kind(
    kind: str, message: str, causes: Sequence[str] = (), document: Optional[dict[str, Any]] = None
) -> CutoverError:
    """The exception of a kind; a kind that this version does not know is a plain `CutoverError`."""
    error = _KINDS.get(kind, CutoverError)(message, causes, document)
    error.kind = kind
    return error
