"""The virtual environment of the judges, created once and kept outside the checkout.

It is created again when requirements.txt or the Python changes. Two judges that start at the same time wait for each
other. Only the standard library is used here.

Not for: installing Python itself, which `scripts/setup.sh --bench` does.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
REPOSITORY = REQUIREMENTS.parent.parent.parent


def cache():
    """The directory for what is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutover"


def enter():
    """Continues in the virtual environment: returns if this process runs in it, otherwise starts again there."""
    home = cache() / "answers" / "venv"
    if Path(sys.prefix).resolve() == home.resolve():
        return
    make(home)
    python = str(home / "bin" / "python")
    sys.stdout.flush()
    os.execv(python, [python, "-m", "answers", *sys.argv[1:]])


def make(home):
    home.parent.mkdir(parents=True, exist_ok=True)
    wanted = f"# {sys.version}\n{REQUIREMENTS.read_text()}"
    mark = home / "requirements.txt"
    with (home.parent / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == wanted:
            return
        print("installing DuckDB and pyarrow into a virtual environment", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True, stdin=subprocess.DEVNULL)
        mark.write_text(wanted)
