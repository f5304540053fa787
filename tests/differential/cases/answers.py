"""What the application says of status, fields and body, and what the client gets.

SPDX-License-Identifier: Apache-2.0
"""

import json

from model import Setup, ask, case

SETUP = Setup("answers", modules=("deflate", "filter", "headers", "expires", "include", "mime"), text="""\
DocumentRoot "${scripts}/site"
TypesConfig /dev/null
ErrorDocument 404 "our own 404"
ErrorDocument 401 "our own 401"
<VirtualHost *:${port}>
    ServerName localhost
    <Location /override>
        WSGIErrorOverride On
    </Location>
    WSGIScriptAlias /override "${apps}/answer.py"
    <Location /charset>
        AddDefaultCharset utf-8
    </Location>
    WSGIScriptAlias /charset "${apps}/answer.py"
    <Location /deflated>
        AddOutputFilterByType DEFLATE text/plain
    </Location>
    WSGIScriptAlias /deflated "${apps}/answer.py"
    <Location /changed>
        Header set X-Set by-httpd
        Header append X-Own by-httpd
        Header always set X-Always by-httpd
        Header unset X-Unset
    </Location>
    WSGIScriptAlias /changed "${apps}/answer.py"
    <Location /head-on>
        WSGIMapHEADToGET On
    </Location>
    WSGIScriptAlias /head-on "${apps}/environ.py"
    <Location /head-off>
        WSGIMapHEADToGET Off
        SetOutputFilter DEFLATE
    </Location>
    WSGIScriptAlias /head-off "${scripts}/method.py"
    <Location /head-filtered>
        SetOutputFilter DEFLATE
    </Location>
    WSGIScriptAlias /head-filtered "${scripts}/method.py"
    WSGIScriptAlias /head-auto "${scripts}/method.py"
    WSGIScriptAlias /head-forced "${scripts}/method.py"
    <Location /head-forced>
        WSGIMapHEADToGET On
    </Location>
</VirtualHost>
""")

FILES = {"site/there.txt": "a file of httpd\n"}
TEXT = ["Content-Type", "text/plain"]


def told(status="200 OK", headers=(TEXT,), body=("body\n",), mount="/answer", method="POST",
         fields=()):
    """A request that says how it is to be answered."""
    text = json.dumps({"status": status, "headers": list(headers), "body": list(body)})
    return ask(mount, *fields, method=method, body=text.encode())


def fields(*headers, **options):
    return told(headers=[TEXT, *map(list, headers)], **options)


def fault(name):
    return ask(f"/faults/{name}")


STATUSES = {
    "plain": "200 OK", "no-reason": "200", "blank-reason": "200 ", "other-reason": "200 Fine",
    "long-reason": "200 " + "x" * 300, "latin-1": "200 \xe9", "blanks": "200  two  blanks ",
    "tab": "200 a\tb", "201": "201 Created", "202": "202 Accepted", "204": "204 No Content",
    "204-own": "204 Nothing", "205": "205 Reset Content", "206": "206 Partial Content",
    "299": "299 Unknown", "300": "300 Multiple Choices", "301": "301 Moved Permanently",
    "304": "304 Not Modified", "400": "400 Bad Request", "401": "401 Unauthorized",
    "403": "403 Forbidden", "404": "404 Not Found", "404-own": "404 Nowhere",
    "418": "418 Teapot", "451": "451 Legal", "499": "499 Own", "500": "500 Broken",
    "503": "503 Busy", "599": "599 Own", "600": "600 Odd", "999": "999 Odd", "099": "099 Odd",
    "000": "000 Odd", "del": "200 a\x7fb",
}

FAULTS = [
    "status-bytes", "status-number", "status-none", "status-empty", "status-text",
    "status-two-digits", "status-four-digits", "status-crlf", "status-not-latin-1", "fields-tuple",
    "fields-none", "fields-of-lists", "fields-of-three", "field-name-bytes", "field-name-empty",
    "field-name-blank", "field-name-crlf", "field-name-not-latin-1", "field-value-number",
    "field-value-cr", "field-value-lf", "field-value-not-latin-1", "length-text",
    "length-negative", "exc-info-text", "returns-none", "returns-number", "returns-text",
    "yields-text", "yields-bytearray", "yields-none", "close-raises", "raises",
    "raises-after-start-response", "raises-at-first-part", "exits", "interrupts", "writes-text",
    "never-starts", "never-starts-and-is-empty", "never-starts-lazily",
    "starts-twice-after-an-error-it-hides", "raises-later", "raises-later-announced",
    "yields-text-later", "restarts-later", "restarts-later-with-exc-info", "is-too-short",
]

GENERATORS = ["list-of-many", "tuple-of-one", "nothing", "empty-parts", "replaced", "lazy",
              "too-long", "long-fields", "head-fields", "many?chunks=3", "many-announced?chunks=3",
              "one-big?chunks=3"]

CASES = [
    *[case(f"ans-status-{name}", told(status, body=[] if status[:3] in ("204", "304") else ["x\n"]))
      for name, status in STATUSES.items()],
    case("ans-204-body", told("204 No Content", body=["not to be seen"])),
    case("ans-304-body", told("304 Not Modified", body=["not to be seen"])),
    case("ans-304-fields", told("304 Not Modified", [["ETag", '"x"'], ["Content-Length", "5"],
                                                     TEXT], body=[])),
    case("ans-204-length", told("204 No Content", [["Content-Length", "0"]], body=[])),
    case("ans-205-body", told("205 Reset Content", body=["x"])),
    case("ans-no-fields", told(headers=[])),
    case("ans-no-type", told(headers=[["X-A", "b"]])),
    case("ans-empty", told(body=[])),
    case("ans-empty-length", fields(("Content-Length", "0"), body=[])),
    case("ans-parts", told(body=["a", "", "b", "c"])),
    case("ans-length", fields(("Content-Length", "5"))),
    case("ans-length-short", fields(("Content-Length", "3"))),
    case("ans-length-long", fields(("Content-Length", "50"))),
    case("ans-length-zeros", fields(("Content-Length", "0005"))),
    case("ans-length-plus", fields(("Content-Length", "+5"))),
    case("ans-length-blank", fields(("Content-Length", " 5 "))),
    case("ans-length-twice", fields(("Content-Length", "5"), ("Content-Length", "5"))),
    case("ans-length-two", fields(("Content-Length", "3"), ("Content-Length", "5"))),
    case("ans-length-empty", fields(("Content-Length", ""))),
    case("ans-length-junk", fields(("Content-Length", "5x"))),
    case("ans-type-letters", told(headers=[["Content-Type", "Text/PLAIN; Charset=UTF-8"]])),
    case("ans-type-empty", told(headers=[["Content-Type", ""]])),
    case("ans-type-twice", told(headers=[TEXT, ["Content-Type", "text/html"]])),
    case("ans-type-odd", told(headers=[["Content-Type", "nonsense"]])),
    case("ans-type-name-letters", told(headers=[["content-TYPE", "text/plain"]])),
    case("ans-charset-added", told(mount="/charset")),
    case("ans-charset-own", told(headers=[["Content-Type", "text/plain; charset=x"]],
                                 mount="/charset")),
    case("ans-repeated", fields(("X-A", "1"), ("X-A", "2"), ("x-a", "3"))),
    case("ans-cookies", fields(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-A", "b"))),
    case("ans-cache-control", fields(("Cache-Control", "private"), ("Cache-Control", "no-store"))),
    case("ans-vary", fields(("Vary", "Cookie"), ("Vary", "Accept"))),
    case("ans-link", fields(("Link", "<a>; rel=x"), ("Link", "<b>; rel=y"))),
    case("ans-authenticate", told("401 Unauthorized", [TEXT, ["WWW-Authenticate", "Basic realm=x"],
                                                       ["WWW-Authenticate", "Other y"]])),
    case("ans-range-twice", fields(("Content-Range", "bytes 0-1/9"), ("Content-Range", "bytes 2-3/9"))),
    case("ans-location", told("302 Found", [TEXT, ["Location", "/somewhere?x=y"]])),
    case("ans-location-twice", told("302 Found", [TEXT, ["Location", "/one"], ["Location", "/two"]])),
    case("ans-location-200", fields(("Location", "/there.txt"))),
    case("ans-location-200-missing", fields(("Location", "/not-there.txt"))),
    case("ans-location-200-absolute", fields(("Location", "http://other.test/x"))),
    case("ans-location-200-relative", fields(("Location", "there.txt"))),
    case("ans-location-201", told("201 Created", [TEXT, ["Location", "/there.txt"]])),
    case("ans-location-200-query", fields(("Location", "/environ/x?y=z"), method="GET")),
    case("ans-coding", fields(("Transfer-Encoding", "gzip"))),
    case("ans-coding-chunked", fields(("Transfer-Encoding", "chunked"))),
    case("ans-connection", fields(("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "x"))),
    case("ans-connection-close", fields(("Connection", "close"))),
    case("ans-upgrade", fields(("Upgrade", "own/1"), ("Trailer", "X-A"))),
    case("ans-date", fields(("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "own/1"))),
    case("ans-last-modified", fields(("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"))),
    case("ans-last-modified-future", fields(("Last-Modified", "Sun, 06 Nov 2094 08:49:37 GMT"))),
    case("ans-last-modified-odd", fields(("Last-Modified", "yesterday"))),
    case("ans-etag", fields(("ETag", '"x"'))),
    case("ans-encoding", fields(("Content-Encoding", "gzip"), ("Content-Language", "de"))),
    case("ans-name-letters", fields(("x-LETTERS", "1"), ("X_Under", "2"), ("X.Dot", "3"))),
    case("ans-name-odd", fields(("X(Odd)", "1"))),
    case("ans-name-colon", fields(("X:Colon", "1"))),
    case("ans-name-latin-1", fields(("X-\xe9", "1"))),
    case("ans-value-empty", fields(("X-Empty", ""))),
    case("ans-value-blanks", fields(("X-Blanks", "  a  b  "))),
    case("ans-value-tab", fields(("X-Tab", "a\tb"))),
    case("ans-value-latin-1", fields(("X-Latin", "\xe9\xff"))),
    case("ans-value-control", fields(("X-Control", "a\x01b"))),
    case("ans-value-nul", fields(("X-Nul", "a\x00b"))),
    case("ans-value-del", fields(("X-Del", "a\x7fb"))),
    case("ans-value-long", fields(("X-Long", "v", 8000))),
    case("ans-value-longer", fields(("X-Long", "v", 40000))),
    case("ans-fields-many", fields(("X-Many", "v", 1, 500))),
    case("ans-status-field", fields(("Status", "404 Not Found"))),
    case("ans-script-fields", fields(("X-Sendfile", "/etc/x"), ("Warning", "199 x"))),
    case("ans-reserved-error", told("200 Error")),
    case("ans-reserved-rejected", told("200 Rejected")),
    case("ans-reserved-timeout", told("200 Timeout")),
    case("ans-reserved-continue", told("200 Continue")),
    case("ans-100", told("100 Continue")),
    case("ans-103", told("103 Early Hints")),
    case("ans-101", told("101 Switching")),
    case("ans-override-404", told("404 Not Found", [TEXT, ["X-Own", "1"]], mount="/override")),
    case("ans-override-401", told("401 Unauthorized",
                                  [TEXT, ["WWW-Authenticate", "Basic realm=x"], ["X-Own", "1"],
                                   ["Set-Cookie", "a=b"]], mount="/override")),
    case("ans-override-500", told("500 Broken", mount="/override")),
    case("ans-override-399", told("399 Fine", mount="/override")),
    case("ans-override-200", told(mount="/override")),
    case("ans-deflate", told(body=["x" * 1000], mount="/deflated",
                             fields=["Accept-Encoding: gzip"])),
    case("ans-deflate-letters", told(headers=[["Content-Type", "Text/Plain"]], body=["x" * 1000],
                                     mount="/deflated", fields=["Accept-Encoding: gzip"])),
    case("ans-deflate-etag", fields(("ETag", '"x"'), body=["x" * 1000], mount="/deflated",
                                    fields=["Accept-Encoding: gzip"])),
    case("ans-headers-module", fields(("X-Own", "1"), ("X-Unset", "2"), ("X-Set", "3"),
                                      mount="/changed")),
    case("ans-headers-module-404", told("404 Not Found", [TEXT, ["X-Own", "1"]], mount="/changed")),
    *[case(f"ans-{name.partition('?')[0]}", ask(f"/response/{name}")) for name in GENERATORS],
    case("ans-http-1.0", ask("/response/list-of-many", version="HTTP/1.0")),
    case("ans-http-1.0-many", ask("/response/many?chunks=2", version="HTTP/1.0")),
    case("ans-http-1.0-long-fields", ask("/response/head-fields", version="HTTP/1.0")),
    case("ans-kept-connection", ask("/response/list-of-many", "Connection: keep-alive",
                                    version="HTTP/1.0")),
    *[case(f"ans-fault-{name}", fault(name)) for name in FAULTS],
    case("head-plain", ask("/response/list-of-many", method="HEAD")),
    case("head-length", ask("/hello", method="HEAD")),
    case("head-nothing", ask("/response/nothing", method="HEAD")),
    case("head-big", ask("/response/many?chunks=3", method="HEAD")),
    case("head-error", ask("/faults/raises", method="HEAD")),
    case("head-too-long", ask("/response/too-long", method="HEAD")),
    *[case(f"head-shown-{how}", ask(f"/head-{how}", method="HEAD"))
      for how in ("auto", "filtered", "off", "forced")],
    *[case(f"cond-{name}", fields(("ETag", '"x"'),
                                  ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                                  method="GET", fields=[line]))
      for name, line in {
          "none-match": 'If-None-Match: "x"', "none-match-star": "If-None-Match: *",
          "none-match-other": 'If-None-Match: "y"', "match": 'If-Match: "x"',
          "match-other": 'If-Match: "y"',
          "modified": "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
          "modified-before": "If-Modified-Since: Sun, 06 Nov 1993 08:49:37 GMT",
          "unmodified": "If-Unmodified-Since: Sun, 06 Nov 1993 08:49:37 GMT",
          "range": "Range: bytes=1-2", "range-if": 'Range: bytes=1-2\r\nIf-Range: "y"',
      }.items()],
]
