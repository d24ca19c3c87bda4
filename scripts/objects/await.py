"""Waits until the server whose filer has the given port takes and gives data; ends with 1 after a minute.

The S3 port answers before there is a volume to write to, so a file is written by the filer, read and deleted.
"""

import sys
import time
import urllib.error
import urllib.request

S3, FILER = (f"http://127.0.0.1:{int(sys.argv[1]) + next}" for next in (0, 1))
SECONDS = 60


def ask(method, url, body=None):
    with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=5) as answer:
        return answer.read()


def serves():
    try:
        ask("PUT", f"{FILER}/ready", b"data")
        if ask("GET", f"{FILER}/ready") != b"data":
            return False
        ask("DELETE", f"{FILER}/ready")
        ask("GET", S3)
    except urllib.error.HTTPError as error:
        return error.code == 403  # what S3 answers to requests without credentials
    except OSError:
        pass
    return False


urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
until = time.monotonic() + SECONDS
while not serves():
    if time.monotonic() > until:
        sys.exit(1)
    time.sleep(0.1)
