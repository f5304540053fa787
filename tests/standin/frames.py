"""The frames of docs/wire.md, and any that look like them. Nothing is checked here on purpose.

SPDX-License-Identifier: Apache-2.0
"""

import struct

(HELLO, REQUEST, BODY, BODY_END, GONE, CONTINUE, HEAD, DATA, FILE, LOG, HINT, END, ABORT, GOAWAY,
 UPGRADE) = range(1, 16)
CLOSE, TELLME, FLUSH = 1, 2, 4

HEADER = struct.Struct("<IBBH")
PLAIN = ((b"Content-Type", b"text/plain"),)
INFO = 6


def frame(type, payload=b"", flags=0, length=None, zero=0):
    """`length`: another one than the payload's."""
    return HEADER.pack(len(payload) if length is None else length, type, flags, zero) + payload


def hello(version=2, index=0, generation=1):
    return frame(HELLO, struct.pack("<III", version, index, generation))


def pair(name, value, number=0, name_len=None, value_len=None):
    return struct.pack("<HHI", number, len(name) if name_len is None else name_len,
                       len(value) if value_len is None else value_len) + name + value


def head(status=200, fields=PLAIN, reason=b"OK", count=None, reason_len=None, tail=b""):
    start = struct.pack("<HHI", status, len(reason) if reason_len is None else reason_len,
                        len(fields) if count is None else count)
    return frame(HEAD, start + reason + b"".join(pair(*field) for field in fields) + tail)


def data(content, flags=0):
    return frame(DATA, content, flags)


def file(offset, length):
    return frame(FILE, struct.pack("<qq", offset, length))


def log(level, text, end=b"\0"):
    return frame(LOG, struct.pack("<III", level, 0, 0) + b"\0" + text + end)


def number(type, value):
    return frame(type, struct.pack("<i", value))


def abort(status):
    return number(ABORT, status)


END_CLOSE = frame(END, flags=CLOSE)
END_KEEP = frame(END)
