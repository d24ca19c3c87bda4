"""The commands as functions: each starts `cutover`, waits for it, and returns its JSON document.

    cutover.run("jobs/views.toml", set={"date": "2026-11-22"}, memory="4GiB")     # cutover run … --set … --memory 4GiB
    cutover.rollback("stores/views")["readers_see"]

Flags are keyword arguments with underscores: True for a flag alone, a list for one that is repeated, a dict for
NAME=VALUE, whose values are str, int, float, dates, datetimes or paths. None is left out. What the command says on
standard error stays there. The fields of each document are in docs/json.md. The command stops when this process ends.

Not for: reads. `Reader` does them without a process.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Optional, Union

from ._errors import InternalError, UnavailableError, of_kind

PathLike = Union[str, "os.PathLike[str]"]


def command() -> str:
    """The path of the command `cutover`: the one of this package, or else the first on the PATH.

    The variable CUTOVER_COMMAND names another one.

    Raises:
        UnavailableError: there is none.
    """
    named = os.environ.get("CUTOVER_COMMAND")
    if named:
        return named
    schemes = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        schemes.append(sysconfig.get_path("scripts", user))
    # `pip install --target DIR` puts scripts into DIR/bin.
    schemes.append(str(Path(__file__).resolve().parent.parent / "bin"))
    for directory in schemes:
        found = shutil.which("cutover", path=directory)
        if found:
            return found
    found = shutil.which("cutover")
    if found:
        return found
    raise UnavailableError("the command cutover is not installed: this package was built without it")


# Flags of the command that are not flags here, and why.
_NOT_FLAGS = {
    "help": "use help(cutover), or `cutover {command} --help` in a shell",
    "json": "the JSON document is what the function returns",
    "result": "the JSON document is what the function returns; write it to a file with json.dump",
}


def _pair(flag: str, key: str, value: Any) -> str:
    if isinstance(value, datetime.date):
        value = value.isoformat()
    elif isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    elif isinstance(value, bool) or not isinstance(value, (str, int, float)):
        found = type(value).__name__
        raise TypeError(f"{flag}[{key!r}] is a {found}, but must be str, int, float, a date, a datetime or a path")
    return f"{key}={value}"


def _arguments(command: str, flags: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in flags.items():
        bare = name.strip("_")
        if bare in _NOT_FLAGS:
            raise TypeError(f"{name} is not an argument here: " + _NOT_FLAGS[bare].format(command=command))
        flag = "--" + bare.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(flag)
            continue
        if isinstance(value, dict):
            value = [_pair(name, key, of) for key, of in value.items() if of is not None]
        for item in value if isinstance(value, (list, tuple)) else [value]:
            # One word, so that a value that begins with a dash is no flag.
            words.append(f"{flag}={os.fspath(item) if isinstance(item, os.PathLike) else item}")
    return words


def _call(name: str, positional: list[Any], flags: dict[str, Any], cwd: Optional[PathLike]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="cutover-") as directory:
        result = os.path.join(directory, "result.json")
        arguments = _arguments(name, flags)
        words = [command(), name, *arguments, "--result", result, "--", *map(os.fspath, positional)]
        # The command ends when this process ends.
        environment = {**os.environ, "CUTOVER_PARENT": str(os.getpid())}
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            code = process.wait()
        except BaseException:
            # It stops at the next safe point and leaves nothing to repair.
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
        try:
            with open(result, encoding="utf-8") as file:
                document: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            raise InternalError(f"cutover {name} {how} and left no result") from None
    if document["kind"] is not None:
        raise of_kind(document["kind"], document["message"], document["causes"], document)
    return document


def run(job: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Builds a version, checks it and publishes it: `cutover run`.

    Returns its document: `outcome` is "published", "unchanged", "staged" or "not_published", `version` the version.
    Paths in the job are relative to `cwd`.

    Raises:
        RejectedError: a check stopped it. InputError: the data breaks the job. InvalidError: the job or a flag is
        wrong. ConflictError: another run holds the lock. Each has the `document`.
    """
    return _call("run", [job], flags, cwd)


def plan(job: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """What a run would do: predicted rows, memory, disk and time; writes nothing. With k8s=True, `cron_job` too."""
    return _call("plan", [job], flags, cwd)


def init(*data: PathLike, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Writes a job and data contracts for data files."""
    return _call("init", list(data), flags, cwd)


def versions(store: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """All versions of a store and their states."""
    return _call("versions", [store], flags, cwd)


def show(store: PathLike, *version: int, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """One version: the published one, or the one named."""
    return _call("show", [store, *map(str, version)], flags, cwd)


def path(store: PathLike, *version: int, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """The directory of a version, as `path`."""
    return _call("path", [store, *map(str, version)], flags, cwd)


def get(store: PathLike, *keys: str, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Values of keys in the form of the command line, as `entries`; `outcome` is "absent" if one is missing."""
    return _call("get", [store, *keys], flags, cwd)


def log(store: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """What happened to a store, as `events`."""
    return _call("log", [store], flags, cwd)


def publish(store: PathLike, version: int, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Switches readers to a version."""
    return _call("publish", [store, str(version)], flags, cwd)


def rollback(store: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Takes readers back to the last good version."""
    return _call("rollback", [store], flags, cwd)


def pin(store: PathLike, *version: int, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Holds readers on a version; needs `reason`."""
    return _call("pin", [store, *map(str, version)], flags, cwd)


def unpin(store: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Ends a pin."""
    return _call("unpin", [store], flags, cwd)


def gc(store: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Deletes old versions."""
    return _call("gc", [store], flags, cwd)


def verify(store: PathLike, *version: int, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Looks for damage; `outcome` is "done" or "damaged"."""
    return _call("verify", [store, *map(str, version)], flags, cwd)


def verify_crash(job: PathLike, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Runs a job in a sandbox and kills it at each step."""
    return _call("verify-crash", [job], flags, cwd)


def consume(*, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Follows a Kafka topic into a local store; with once=True, takes over what is announced and returns."""
    return _call("consume", [], flags, cwd)


def pull(url: str, *, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """Takes the current version of a store on an object store into the directory `to`."""
    return _call("pull", [url], flags, cwd)


def demo(*, cwd: Optional[PathLike] = None, **flags: Any) -> dict[str, Any]:
    """A whole cycle on sample data, in the directory `dir`."""
    return _call("demo", [], flags, cwd)
