"""Bodies of requests: by length, in chunks, announced by Expect, too long, cut.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case, chunked

SETUP = Setup("bodies", modules=("deflate",), text="""\
DocumentRoot "${scripts}"
Timeout 2
<Location /limited>
    LimitRequestBody 10
</Location>
<Location /chunks>
    WSGIChunkedRequest On
</Location>
<Location /chunks-limited>
    WSGIChunkedRequest On
    LimitRequestBody 10
</Location>
<Location /inflated>
    SetInputFilter INFLATE
</Location>
WSGIScriptAlias /limited "${apps}/echo.py"
WSGIScriptAlias /chunks "${apps}/echo.py"
WSGIScriptAlias /chunks-limited "${apps}/echo.py"
WSGIScriptAlias /inflated "${apps}/echo.py"
WSGIScriptAlias /input "${scripts}/input.py"
""")

TEXT = b"first line\nsecond\n\nfourth " + b"x" * 100 + b"\nlast without an end"
BIG = bytes(range(256)) * 1200  # 300 KiB
CHUNKED = "Transfer-Encoding: chunked"
WAYS = ["all", "chunks", "bytes", "readline", "short-lines", "readlines", "iterate", "mixed",
        "none", "some", "return"]


def post(target, body=TEXT, *fields, **options):
    return ask(target, *fields, method="POST", body=body, **options)


CASES = [
    *[case(f"body-{way}", post(f"/echo?how={way}")) for way in WAYS],
    *[case(f"body-big-{way}", post(f"/echo?how={way}", BIG)) for way in ("all", "chunks", "none")],
    case("body-empty", post("/echo?how=all", b"", "Content-Length: 0")),
    case("body-missing", post("/echo?how=all", b"")),
    case("body-get", ask("/echo?how=all", body=TEXT)),
    case("body-delete", ask("/echo?how=all", body=TEXT, method="DELETE")),
    case("body-surplus", post("/echo?how=all", TEXT, "Content-Length: 10")),
    case("body-http-1.0", post("/echo?how=all", version="HTTP/1.0")),
    case("body-cut", post("/input/read", b"12345", "Content-Length: 10", closes=True)),
    case("body-cut-unread", post("/echo?how=none", b"12345", "Content-Length: 10", closes=True)),
    case("body-limit", post("/limited?how=all", b"1234567890")),
    case("body-over-limit", post("/limited?how=all", b"12345678901")),
    case("body-over-limit-unread", post("/limited?how=none", b"12345678901")),
    case("body-chunked", post("/echo?how=all", chunked(TEXT), CHUNKED)),
    *[case(f"chunked-{way}", post(f"/chunks?how={way}", chunked(TEXT[:20], TEXT[20:]), CHUNKED))
      for way in WAYS],
    case("chunked-big", post("/chunks?how=chunks", chunked(BIG, BIG), CHUNKED)),
    case("chunked-empty", post("/chunks?how=all", chunked(), CHUNKED)),
    case("chunked-extension", post("/chunks?how=return", b"3;x=y\r\nabc\r\n0\r\n\r\n", CHUNKED)),
    case("chunked-trailer", post("/chunks?how=return", b"3\r\nabc\r\n0\r\nX-A: b\r\n\r\n", CHUNKED)),
    case("chunked-letters", post("/chunks?how=return", chunked(b"abc"),
                                 "Transfer-Encoding: Chunked")),
    case("chunked-and-length", post("/chunks?how=return", chunked(b"abc"), CHUNKED,
                                    "Content-Length: 3")),
    case("chunked-twice", post("/chunks?how=return", chunked(b"abc"), CHUNKED, CHUNKED)),
    case("chunked-gzip", post("/chunks?how=return", chunked(b"abc"),
                              "Transfer-Encoding: gzip, chunked")),
    case("chunked-environ", post("/environ", chunked(b"abc"), CHUNKED)),
    case("chunked-junk", post("/chunks?how=return", b"zz\r\nabc\r\n0\r\n\r\n", CHUNKED)),
    case("chunked-over-limit", post("/chunks-limited?how=return", chunked(b"1" * 50), CHUNKED)),
    case("expect", post("/echo?how=all", TEXT, "Expect: 100-continue", waits=True)),
    case("expect-letters", post("/echo?how=all", TEXT, "Expect: 100-Continue", waits=True)),
    case("expect-chunked", post("/chunks?how=all", chunked(TEXT), CHUNKED, "Expect: 100-continue",
                                waits=True)),
    case("expect-not-allowed", post("/echo?how=all", chunked(TEXT), CHUNKED,
                                    "Expect: 100-continue", waits=True)),
    case("expect-unread", post("/echo?how=none", TEXT, "Expect: 100-continue", waits=True)),
    case("expect-over-limit", post("/limited?how=all", TEXT, "Expect: 100-continue", waits=True)),
    case("expect-404", post("/not-there", TEXT, "Expect: 100-continue", waits=True)),
    *[case(f"input-{how}", post(f"/input/{how}", b"0123456789\nabc"))
      for how in ("shape", "read", "negative", "zero", "over", "line", "lines-hint", "text",
                  "close", "after-end", "errors", "late")],
]
