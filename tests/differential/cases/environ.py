"""Shapes of requests, and the environ that the application sees.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

SETUP = Setup("environ", modules=("env", "setenvif", "rewrite", "alias", "dir", "auth_basic",
                                  "authn_core", "authn_file", "authz_user", "remoteip"), text="""\
UseCanonicalName Off
PassEnv FROM_HTTPD
<VirtualHost *:${port}>
    ServerName localhost
    ServerAdmin admin@example.org
    DocumentRoot "${scripts}/site"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName root.test
    DocumentRoot "${root}/scripts"
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName encoded.test
    AllowEncodedSlashes On
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName nodecode.test
    AllowEncodedSlashes NoDecode
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName unmerged.test
    MergeSlashes Off
    WSGIScriptAlias /a//b "${apps}/environ.py"
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName unsafe.test
    HttpProtocolOptions Unsafe
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName canonical.test
    UseCanonicalName On
    ServerAlias canonical.alias
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName variables.test
    SetEnv FROM_SETENV "a value"
    SetEnv EMPTY ""
    SetEnv REQUEST_METHOD FORGED
    SetEnv HTTP_X_FORGED forged
    SetEnv mod_wsgi.process_group forged
    SetEnv mod_wsgi.x-forged forged
    SetEnv wsgi.url_scheme forged
    SetEnv PATH /forged
    SetEnvIf X-Secure (.*) HTTPS=$1
    SetEnvIf Request_URI "(\\.py)" FROM_SETENVIF=$1
    WSGIScriptAlias / "${apps}/environ.py"
    RewriteEngine On
    RewriteRule ^/variable - [E=FROM_REWRITE:$0]
    RewriteRule ^/rewritten/(.*) /$1?rewritten=yes [PT,QSA]
</VirtualHost>
<VirtualHost *:${port}>
    ServerName protected.test
    WSGIScriptAlias / "${apps}/environ.py"
    <Location />
        AuthType Basic
        AuthName here
        AuthBasicProvider file
        AuthUserFile "${scripts}/users"
        Require valid-user
    </Location>
    <Location /pass>
        WSGIPassAuthorization On
    </Location>
    <Location /cgipass>
        CGIPassAuth On
    </Location>
</VirtualHost>
<VirtualHost *:${port}>
    ServerName redirecting.test
    WSGIScriptAlias /environ "${apps}/environ.py"
    WSGIScriptAlias /faults "${apps}/faults.py"
    ErrorDocument 404 /environ/missing?error=404
    ErrorDocument 500 /environ/failed
    DocumentRoot "${scripts}/site"
    DirectoryIndex /environ/index
    <Location /qualified>
        QualifyRedirectURL On
    </Location>
</VirtualHost>
<VirtualHost *:${port}>
    ServerName behind.test
    RemoteIPHeader X-Forwarded-For
    RemoteIPInternalProxy 127.0.0.1
    CGIVar REQUEST_URI current-uri
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
""", environment={"FROM_HTTPD": "passed", "NOT_PASSED": "x"}.items())

FILES = {"users": "me:{SHA}9poD8PIVDli2HsZdBmerBvxEfG0=\n", "site/there/file.txt": "file\n"}


def root(target, *fields, **options):
    return ask(target, *fields, **{"host": "root.test", **options})


def on(host, target, *fields, **options):
    return ask(target, *fields, host=f"{host}.test", **options)


FIELDS_90 = [f"X-Number-{number}: {number}" for number in range(90)]

# The words of a credential are "me:me-secret".
CREDENTIAL = "Authorization: Basic bWU6bWUtc2VjcmV0"

CASES = [
    case("env-plain", ask("/environ")),
    case("env-query", ask("/environ?a=b&c=d;e")),
    case("env-query-empty", ask("/environ?")),
    case("env-query-encoded", ask("/environ?x=%2F%00%C3%A9&+=%zz??")),
    case("env-query-bytes", ask("/environ?x=\xe9")),
    case("env-path-info", ask("/environ/a/b")),
    case("env-path-slash", ask("/environ/")),
    case("env-slashes-first", ask("//environ")),
    case("env-slashes-inside", ask("/environ//a///b//")),
    case("env-slashes-root", root("//")),
    case("env-slashes-root-inside", root("///a//b")),
    case("env-slashes-unmerged", on("unmerged", "/a//b//c")),
    case("env-slashes-unmerged-one", on("unmerged", "/a/b//c")),
    case("env-slashes-unmerged-root", on("unmerged", "//x//y")),
    case("env-root", root("/")),
    case("env-root-path", root("/a/b.html?x=y")),
    case("env-prefix-only", ask("/environx")),
    case("env-letter-case", ask("/Environ")),
    case("env-slash-encoded", ask("/environ/a%2Fb")),
    case("env-slash-encoded-on", on("encoded", "/a%2Fb//c%2F%2Fd")),
    case("env-slash-encoded-nodecode", on("nodecode", "/a%2Fb/%41")),
    case("env-slash-mount-encoded", ask("/%65nviron/%61")),
    case("env-semicolon", ask("/environ;v=1/a;b=c?d;e")),
    case("env-path-utf-8", root("/caf%C3%A9/%E2%82%AC")),
    case("env-path-latin-1", root("/caf%E9")),
    case("env-path-bytes", root("/caf\xc3\xa9")),
    case("env-path-bytes-unsafe", on("unsafe", "/caf\xc3\xa9")),
    case("env-path-nul", root("/a%00b")),
    case("env-path-percent", root("/100%25/%2541")),
    case("env-path-bad-percent", root("/%zz")),
    case("env-path-blank", root("/a%20b+c")),
    case("env-path-crlf", root("/a%0D%0AX-Injected:%20yes")),
    case("env-path-quotes", root("/%22%3Cb%3E'")),
    case("env-path-dots", root("/a/./b/../c")),
    case("env-path-dots-encoded", root("/a/%2e%2e/c")),
    case("env-path-dots-out", ask("/environ/../../x")),
    case("env-path-dots-alias", ask("/environ/..")),
    case("env-path-backslash", root("/a\\b%5Cc")),
    case("env-path-long", root("/" + "x" * 4000)),
    case("env-path-long-segments", root("/" + "/".join(["segment"] * 300))),
    case("env-line-too-long", root("/" + "x" * 9000)),
    case("env-fragment", root("/a#b")),
    case("env-target-empty", "GET  HTTP/1.1\r\nHost: root.test\r\nConnection: close\r\n\r\n"),
    case("env-target-relative", root("environ")),
    case("env-field-long", root("/", "X-Long: " + "v" * 8000)),
    case("env-field-too-long", root("/", "X-Long: " + "v" * 8200)),
    case("env-fields-many", root("/", *FIELDS_90)),
    case("env-fields-too-many", root("/", *FIELDS_90, *FIELDS_90)),
    case("env-field-names-odd", root("/", "X_Under: 1", "X.Dot: 2", "X~Tilde: 3", "X-1-2: 4",
                                     "-: 5", "X!: 6")),
    case("env-field-names-clash", root("/", "X-A: dash", "X_A: underscore", "x-a: again")),
    case("env-field-name-bytes", root("/", "X-\xe9: 1")),
    case("env-field-name-blank", root("/", "X A: 1")),
    case("env-field-name-blank-unsafe", on("unsafe", "/", "X A: 1", "X-B : 2")),
    case("env-field-name-empty", root("/", ": 1")),
    case("env-field-without-colon", root("/", "nonsense")),
    case("env-field-value-empty", root("/", "X-Empty:", "X-Blank:   ")),
    case("env-field-value-bytes", root("/", "X-Bytes: \xe9\xff\xc3\xa9")),
    case("env-field-value-blanks", root("/", "X-Blanks: \t a \t b \t ")),
    case("env-field-value-control", root("/", "X-Control: a\x01b")),
    case("env-field-value-del", root("/", "X-Control: a\x7fb")),
    case("env-field-folded", root("/", "X-Folded: a\r\n  b\r\n\tc")),
    case("env-fields-repeated", root("/", "X-A: 1", "X-A: 2", "Cookie: a=1", "Cookie: b=2",
                                     "Accept: x", "Accept: y")),
    case("env-fields-known", root("/", "User-Agent: probe/1", "Accept: */*", "Referer: /x",
                                  "Accept-Encoding: gzip", "Cookie: a=b", "TE: trailers",
                                  "Upgrade: nothing", "Range: lines=0-1",
                                  "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
                                  'If-None-Match: "x"', "If-Match: *")),
    case("env-forged-fields", root("/", "mod_wsgi.process_group: x", "HTTPS: on", "Proxy: evil",
                                   "Remote-User: me", "Content_Length: 5", "Path: /evil",
                                   "mod-wsgi-version: 1", "X-Wsgi-Input: y")),
    case("env-content-type", root("/", "Content-Type: text/x; charset=y")),
    case("env-content-type-repeated", root("/", "Content-Type: a/b", "Content-Type: c/d")),
    case("env-length-zero", root("/", "Content-Length: 0")),
    case("env-length-junk", root("/", "Content-Length: abc")),
    case("env-length-sign", root("/", "Content-Length: +5", body=b"12345")),
    case("env-length-negative", root("/", "Content-Length: -5")),
    case("env-length-two", root("/", "Content-Length: 5", "Content-Length: 6", body=b"123456")),
    case("env-length-twice", root("/", "Content-Length: 5", "Content-Length: 5", body=b"12345")),
    case("env-length-zeros", root("/", "Content-Length: 005", body=b"12345")),
    case("env-length-huge", root("/", "Content-Length: 99999999999999999999")),
    case("env-coding-odd", root("/", "Transfer-Encoding: gzip")),
    case("env-coding-identity", root("/", "Transfer-Encoding: identity")),
    case("env-host-missing", ask("/environ", host=None)),
    case("env-host-empty", ask("/environ", host="")),
    case("env-host-port", ask("/environ", host="localhost:8099")),
    case("env-host-letters", root("/", host="ROOT.Test")),
    case("env-host-dot", root("/", host="root.test.")),
    case("env-host-unknown", ask("/environ", host="unknown.example:81")),
    case("env-host-ipv6", ask("/environ", host="[::1]:8080")),
    case("env-host-ipv6-bare", ask("/environ", host="[::1]")),
    case("env-host-ipv6-zone", ask("/environ", host="[fe80::1%25eth0]")),
    case("env-host-bad", ask("/environ", host="a<b>")),
    case("env-host-markup", on("unsafe", "/", "X-A: b")),
    case("env-host-two", ask("/environ", "Host: other")),
    case("env-host-canonical", ask("/", host="canonical.alias:1")),
    case("env-http-1.0", ask("/environ", version="HTTP/1.0")),
    case("env-http-1.0-no-host", ask("/environ", version="HTTP/1.0", host=None)),
    case("env-http-1.2", ask("/environ", version="HTTP/1.2")),
    case("env-http-2.0", ask("/environ", version="HTTP/2.0")),
    case("env-http-lower", ask("/environ", version="http/1.1")),
    case("env-http-0.9", "GET /environ\r\n"),
    case("env-absolute", ask("http://localhost/environ/x?y")),
    case("env-absolute-other", ask("http://root.test/a/b", host="localhost")),
    case("env-absolute-port", ask("http://root.test:99/a", host="localhost")),
    case("env-absolute-letters", ask("HTTP://ROOT.test/a", host="localhost")),
    case("env-absolute-https", ask("https://root.test/a", host="localhost")),
    case("env-absolute-userinfo", ask("http://u:p@root.test/a", host="localhost")),
    case("env-options-star", ask("*", method="OPTIONS", host="root.test")),
    case("env-options", root("/a", method="OPTIONS")),
    case("env-connect", ask("root.test:80", method="CONNECT", host="root.test")),
    case("env-trace", root("/a", method="TRACE")),
    *[case(f"env-method-{method.lower()}", root("/a", method=method))
      for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND", "QUERY", "FOO-BAR")],
    case("env-method-small", root("/a", method="get")),
    case("env-method-odd", root("/a", method="G@T")),
    case("env-connection", root("/", "Connection: X-Hop, TE", "X-Hop: 1", "Keep-Alive: 5")),
    case("env-expect-other", root("/", "Expect: nothing")),
    case("env-authorization", root("/", CREDENTIAL, "Proxy-Authorization: Basic eA==")),
    case("env-variables", on("variables", "/variable/x.py")),
    case("env-https-on", on("variables", "/", "X-Secure: on")),
    case("env-https-letters", on("variables", "/", "X-Secure: ON")),
    case("env-https-one", on("variables", "/", "X-Secure: 1")),
    case("env-https-off", on("variables", "/", "X-Secure: off")),
    case("env-https-empty", on("variables", "/", "X-Secure;")),
    case("env-rewritten", on("variables", "/rewritten/a//b?c=d")),
    case("env-user", on("protected", "/", CREDENTIAL)),
    case("env-user-none", on("protected", "/")),
    case("env-user-pass", on("protected", "/pass", CREDENTIAL)),
    case("env-user-cgipass", on("protected", "/cgipass", CREDENTIAL,
                                "Proxy-Authorization: Basic eA==")),
    case("env-error-document", on("redirecting", "/not/there?x=y", "X-A: b")),
    case("env-error-document-post", on("redirecting", "/not/there", method="POST", body=b"12345")),
    case("env-error-document-500", on("redirecting", "/faults/raises?x=y")),
    case("env-redirect-qualified", on("redirecting", "/qualified/not/there")),
    case("env-index", on("redirecting", "/there/?x=y")),
    case("env-remoteip", on("behind", "/current//uri?x=y", "X-Forwarded-For: 192.0.2.7")),
    case("env-script-directory", ask("/scripts/environ.py/a//b")),
    case("env-script-missing", ask("/scripts/missing.py/a")),
    case("env-script-is-directory", ask("/scripts/site/there")),
]
