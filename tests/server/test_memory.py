"""Bodies of any size pass in bounded memory, also where one side is slow."""

import time

import env
import processes
import pytest

MIB = 1 << 20
BODY_BYTES = 64 * MIB
BIG_BODY_BYTES = BODY_BYTES if env.IS_SANITIZED or env.MPM == "worker" else 1024 * MIB
LIMIT_KIB = 12 * 1024 * (4 if env.IS_SANITIZED else 1)

pytestmark = pytest.mark.big


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True)
    for _ in range(3):
        assert len(server.get("/response/many?chunks=32").body) == 2 * MIB
        assert server.post("/consume", b"x" * (2 * MIB)).body == b"%d" % (2 * MIB)
    return server


def peaks(server):
    return {pid: processes.status_kib(pid, "VmHWM") for pid in server.family()}


def assert_bounded(server, before):
    growth = {f"{pid} {processes.program(pid)}": now - before[pid]
              for pid, now in peaks(server).items() if now - before[pid] > LIMIT_KIB}
    assert growth == {}, "KiB by which processes have grown"


def receive(client, total, pauses):
    """Reads a body by its chunks; pauses so long after each eighth of it."""
    received, next_pause = 0, total // 8
    while chunk := client.read_chunk():
        received += len(chunk)
        if received >= next_pause:
            time.sleep(pauses)
            next_pause += total // 8
    return received


@pytest.mark.parametrize("pauses, length", [(0, BIG_BODY_BYTES), (0.25, BODY_BYTES)])
def test_response(server, pauses, length):
    before = peaks(server)
    with server.raw(60 * env.PATIENCE) as client:
        client.request(f"GET /response/many?chunks={length // 65536}")
        client.read_head()
        assert receive(client, length, pauses) == length
    assert_bounded(server, before)


def test_file(server):
    path = server.directory / "scripts" / "big.bin"
    path.write_bytes(b"0123456789abcdef" * (BODY_BYTES // 16))
    before = peaks(server)
    with server.raw(60 * env.PATIENCE) as client:
        client.request(f"GET /files?file={path}")
        _, fields = client.read_head()
        assert int(fields["content-length"]) == BODY_BYTES
        received = 0
        while received < BODY_BYTES:
            received += len(client.read_exactly(MIB))
    path.unlink()
    # Pages of a mapped file count as resident and are no memory of the process.
    assert_bounded(server, {pid: kib + BODY_BYTES // 1024 for pid, kib in before.items()})


@pytest.mark.parametrize("delay, length", [(0, BIG_BODY_BYTES), (1, BODY_BYTES)])
def test_request(server, delay, length):
    """The application begins to read at once, or only after the client has long been sending."""
    before = peaks(server)
    with server.raw(60 * env.PATIENCE) as client:
        client.request(f"POST /consume?{delay}", f"Content-Length: {length}",
                       "Connection: close")
        for _ in range(length // MIB):
            client.send(b"x" * MIB)
        assert client.read_head()[0] == 200
        assert client.read_to_end() == b"%d" % length
    assert_bounded(server, before)
