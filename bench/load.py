"""The load client: builds client/client.c, writes its requests, runs it.

SPDX-License-Identifier: Apache-2.0
"""

import json
import pathlib
import subprocess

import scenarios
from servers import CACHE, HERE, NotMeasured, run

SOURCE = HERE / "client" / "client.c"


def build(target=CACHE / "client"):
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        run(["cc", "-std=gnu11", "-O2", "-o", str(target), str(SOURCE)])
    return target


def write_requests(path, requests):
    """requests: (bytes, class). A body of zero bytes that takes no room: write_hole()."""
    with open(path, "wb") as file:
        for data, kind in requests:
            file.write(b"%d %d\n" % (len(data), kind) + data)
    return path


def write_hole(path, head, length):
    """One request whose body is length zero bytes, as a hole in a file."""
    with open(path, "wb") as file:
        file.write(b"%d %d\n" % (len(head) + length, scenarios.FAST) + head)
        file.truncate(file.tell() + length)
    return path


class Client:
    """Runs of the client with one file of requests."""

    def __init__(self, program, path):
        self.program, self.path = program, path

    @classmethod
    def of(cls, directory, name, requests, keep_alive=True):
        if not keep_alive:
            requests = [(scenarios.without_keep_alive(data), kind) for data, kind in requests]
        path = pathlib.Path(directory, f"{name}{'' if keep_alive else '-closing'}.requests")
        return cls(build(), write_requests(path, requests))

    def start(self, port, connections=1, seconds=None, count=None, warmup=0, pause=0,
              timeout=120, keep_alive=True):
        command = [self.program, "--port", port, "--file", self.path, "--connections", connections,
                   "--warmup", warmup, "--pause", pause, "--timeout", timeout]
        command += ["--requests", count] if count else ["--seconds", seconds]
        if not keep_alive:
            command.append("--no-keep-alive")
        return subprocess.Popen(list(map(str, command)), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def finish(self, process):
        output, messages = process.communicate()
        if process.returncode != 0:
            raise NotMeasured(f"client: {messages.strip()}")
        return json.loads(output)

    def run(self, *arguments, **options):
        return self.finish(self.start(*arguments, **options))


def check(result, body=None):
    """Figures of answers that are not what was asked for are worth nothing."""
    _, _, good, redirects, *bad = result["status"]
    if result["answers"] == 0:
        raise NotMeasured("no request was answered in time")
    if sum(bad) + redirects or result["failed"]:
        raise NotMeasured(f"{sum(bad) + redirects} answers of {result['answers']} are no success, "
                          f"{result['failed']} broke off")
    if body is not None:
        # Of answers that are under way at the end of the time, a part is counted.
        if abs(body * good - result["body_bytes"]) > body * result["connections"]:
            raise NotMeasured(f"answers have {result['body_bytes'] / good:.1f} bytes "
                              f"and not {body}")
    return result
