"""The program that answers many jobs in one process (benches/answers.rs), as a child process.

A job that does not end in time is a hang, and one after which the program has exited is a crash; the next job starts it
again.

Not for: which jobs are run.
"""

import json
import queue
import shutil
import subprocess
import tempfile
import threading

from answers import answers
from answers.environment import REPOSITORY


def executable():
    """Builds the program if needed, and returns its path."""
    command = ["cargo", "bench", "--quiet", "--locked", "--profile", "release", "--bench", "answers", "--no-run"]
    command.append("--message-format=json")
    printed = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [json.loads(line) for line in printed.splitlines()]
    return next(one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "answers")


class Harness:
    """One process of the program."""

    def __init__(self, program, timeout):
        self.program, self.timeout, self.child = program, timeout, None
        self.spill = tempfile.mkdtemp(prefix="cutover-answers-")

    def ask(self, job):
        """The answer to a job: {"rows": …, "columns": …}, or {"error": kind, "message": …}."""
        if self.child is None:
            self.start()
        try:
            self.child.stdin.write(json.dumps(job) + "\n")
            self.child.stdin.flush()
            line = self.lines.get(timeout=self.timeout)
        except queue.Empty:
            self.stop()
            return {"error": "hang", "message": f"no answer within {self.timeout} s"}
        except BrokenPipeError:
            line = ""
        if line:
            return answers.parse(line)
        code = self.child.wait()
        self.errors.seek(0)
        said = self.errors.read()[-2000:]
        self.stop()
        return {"error": "crash", "message": f"the process ended with {code}: {said}"}

    def start(self):
        self.errors = tempfile.TemporaryFile("w+")
        command = [self.program, "jobs", self.spill]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors, "text": True}
        self.child = subprocess.Popen(command, **pipes)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, args=(self.child.stdout, self.lines), daemon=True).start()

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.put(line)
        lines.put("")

    def stop(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def close(self):
        self.stop()
        shutil.rmtree(self.spill, ignore_errors=True)
