"""The bench: its client counts right, its statistics are right, and its gate can fail.

SPDX-License-Identifier: Apache-2.0
"""

import json
import socket
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import figures
import gate
import load
import results
from servers import NotMeasured

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n")
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\n\r\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
ENDS = (UNTIL_CLOSE, LAST, CUT)


class Server:
    """Answers each request with the next of some bytes, one connection at a time; None closes the
    connection instead. It keeps what it was sent."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.received = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._serve(connection):
                    pass

    def _serve(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            try:
                data = connection.recv(1)
            except ConnectionResetError:
                return False
            if not data:
                return False
            head += data
        self.received.append(head)
        answer = next(self.answers, None)
        for byte in answer or b"":  # so that the client's parser is left and entered in each state
            connection.sendall(bytes([byte]))
        return answer is not None and answer not in ENDS

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return load.build(tmp_path_factory.mktemp("bench") / "client")


@pytest.fixture
def client(program, tmp_path):
    """client(answers, requests, **options of a run) → what it counted, what the server was sent."""
    def run(answers, requests=((GET, 0),), **options):
        server = Server(answers)
        path = load.write_requests(tmp_path / "requests", requests)
        try:
            return (load.Client(program, path).run(server.port, timeout=5, **options),
                    server.received)
        finally:
            server.close()
    return run


@pytest.mark.parametrize("answer, connects", [(OK, 1), (CHUNKED, 1), (UNTIL_CLOSE, 4), (LAST, 4)],
                         ids=["length", "chunked", "until-close", "connection-close"])
def test_the_client_finds_the_end_of_each_answer(client, answer, connects):
    result, received = client([answer] * 4, count=4)
    assert received == [GET] * 4
    assert (result["answers"], result["body_bytes"]) == (4, 20)
    assert result["status"] == [0, 0, 4, 0, 0, 0]
    assert (result["connects"], result["failed"], result["dropped"]) == (connects, 0, 0)


def test_requests_are_sent_in_turn_and_timed_by_class(client):
    lines = [f"GET /{number} HTTP/1.1\r\n\r\n".encode() for number in range(3)]
    result, received = client([OK] * 7, zip(lines, (1, 0, 1)), count=7)
    assert received == [lines[number % 3] for number in range(7)]
    assert [sum(count for _, count in each) for each in result["latencies_us"]] == [2, 5, 0, 0]


def test_a_connection_that_closes_before_an_answer_is_told_from_one_that_breaks_it_off(client):
    result, received = client([OK, None, OK, CUT, OK], count=4)
    assert len(received) == 5
    assert (result["answers"], result["dropped"], result["failed"]) == (3, 1, 1)
    with pytest.raises(NotMeasured, match="1 broke off"):
        load.check(result)


def test_other_statuses_are_no_measurement(client):
    result, _ = client([OK.replace(b"200 OK", b"503 Busy")], count=1)
    assert result["status"] == [0, 0, 0, 0, 0, 1]
    with pytest.raises(NotMeasured, match="1 answers of 1 are no success"):
        load.check(result)


def test_the_longest_silence_is_found(client):
    result, _ = client([OK] * 3, count=3, pause=0.2)
    assert 200 < result["longest_gap_ms"] < 2000
    assert figures.percentile(result["latencies_us"][0], 0.5) < 200_000  # the pause is none of it


def test_a_body_of_another_length_is_no_measurement(client):
    result, _ = client([OK] * 2, count=2)
    load.check(result, body=5)
    with pytest.raises(NotMeasured, match="5.0 bytes and not 5000"):
        load.check(result, body=5000)


def test_without_keep_alive_each_request_has_its_connection(client):
    result, received = client([LAST] * 3, [(load.scenarios.without_keep_alive(GET), 0)], count=3,
                              keep_alive=False)
    assert received == [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"] * 3
    assert (result["connects"], result["failed"]) == (3, 0)


def test_percentiles_of_merged_histograms():
    histogram = figures.merged([[[1, 50], [2, 40]], [[1, 5], [9, 5]]])
    assert histogram == [[1, 55], [2, 40], [9, 5]]
    assert [figures.percentile(histogram, share) for share in (0.5, 0.95, 0.99)] == [1, 2, 9]
    assert figures.percentile([], 0.5) is None


def test_ratios_are_taken_round_by_round():
    # The whole machine was slow in the second round: that says nothing about either.
    assert figures.median_of_ratios([100, 10, 120], [50, 5, 60]) == 2
    assert figures.median_of_ratios([100], []) is None


def judged(tmp_path, limits, reached):
    (tmp_path / "limits").write_text(limits)
    (tmp_path / "figures").write_text(json.dumps(reached))
    return subprocess.run([ROOT / "bench" / "bench", "gate", "--limits", tmp_path / "limits",
                           "--figures", tmp_path / "figures"], capture_output=True, text=True)


@pytest.mark.parametrize("limits, status, verdict", [
    ("daemon instructions 60000  # why\n", 0, "ok"),
    ("daemon instructions 55000\n", 1, "FAILED: 0.9% too much"),
    ("daemon instructions 60000\ndaemon system-calls 22\n", 1, "FAILED: no figure"),
    ("# nothing\n", 1, "FAILED: no limit"),
])
def test_the_gate_fails_above_a_limit(tmp_path, limits, status, verdict):
    done = judged(tmp_path, limits, {"daemon instructions": 55500})
    assert verdict in done.stdout
    assert done.returncode == status


def test_the_limits_name_what_the_gate_measures():
    assert set(gate.read_limits()) == {f"{mode} {figure}" for mode in gate.MODES for figure in
                                       ("instructions", "system-calls", "second-hello")}


def test_a_page_is_filled_from_the_file_of_a_run(tmp_path):
    path = tmp_path / "run.json"
    written = results.Report(path)
    written.note(server="ours", round=0)
    written.add(results.Table("one", "The first", [("server", ""), ("ms", ",.1f")],
                              [["ours", 1234.56], ["other", None]]))
    page = tmp_path / "page.md"
    page.write_text("# P\n<!-- bench: o* -->\nold\n<!-- end -->\nkept\n"
                    "<!-- bench: none -->\nstays\n<!-- end -->\n")
    subprocess.run([ROOT / "bench" / "report", path, "--into", page], check=True)
    text = page.read_text()
    assert "| ours | 1,234.6 |\n| other | – |\n" in text
    assert "old" not in text and "kept" in text and "stays" in text
    assert json.loads(path.read_text())["raw"] == [{"server": "ours", "round": 0}]
