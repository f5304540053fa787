"""Groups, interpreters and their names in virtual hosts.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

SETUP = Setup("groups", modules=("env", "setenvif"), environment={"OF_HTTPD": "httpd"}.items(),
              text="""\
DocumentRoot "${scripts}"
UseCanonicalName Off
<VirtualHost *:${port}>
    ServerName localhost
    WSGIScriptAlias /a/plain "${scripts}/group.py"
    WSGIScriptAlias /a/global "${scripts}/group.py" application-group=%{GLOBAL}
    WSGIScriptAlias /a/resource "${scripts}/group.py" application-group=%{RESOURCE}
    WSGIScriptAlias /a/server "${scripts}/group.py" application-group=%{SERVER}
    WSGIScriptAlias /a/named "${scripts}/group.py" application-group=named
    WSGIScriptAlias /a/host "${scripts}/group.py" application-group=%{HOST}
    WSGIScriptAlias /a/env "${scripts}/group.py" application-group=%{ENV:GROUP}
    WSGIScriptAlias /a/env-httpd "${scripts}/group.py" application-group=%{ENV:OF_HTTPD}
    WSGIScriptAlias /a/env-unset "${scripts}/group.py" application-group=%{ENV:UNSET}
    WSGIScriptAlias /a/env-again "${scripts}/group.py" application-group=%{ENV:AGAIN}
    WSGIScriptAlias /a/inside "${scripts}/group.py" application-group=x%{GLOBAL}
    WSGIScriptAlias /a/after "${scripts}/group.py" application-group=%{GLOBAL}x
    WSGIScriptAlias /a/unknown "${scripts}/group.py" application-group=%{UNKNOWN}
    WSGIScriptAlias /a/callable "${scripts}/group.py" callable-object=other
    WSGIScriptAlias /a/callable-raw "${scripts}/group.py" callable-object=%{ENV:CALLABLE}
    WSGIScriptAlias /a/authorization "${apps}/environ.py" pass-authorization=On
    WSGIScriptAlias /a/embedded "${scripts}/group.py" process-group=%{GLOBAL}
    WSGIScriptAlias /a/group-env "${scripts}/group.py" process-group=%{ENV:NO_GROUP}
    SetEnv GROUP from-setenv
    SetEnv AGAIN %{SERVER}
    SetEnv CALLABLE other
    <Location /l/global>
        WSGIApplicationGroup %{GLOBAL}
    </Location>
    <Location /l/server>
        WSGIApplicationGroup %{SERVER}
    </Location>
    <Location /l/resource>
        WSGIApplicationGroup %{RESOURCE}
    </Location>
    <Location /l/env>
        WSGIApplicationGroup %{ENV:GROUP}
    </Location>
    <Location /l/env-callable>
        WSGICallableObject %{ENV:CALLABLE}
    </Location>
    <Location /l/env-callable-unset>
        WSGICallableObject %{ENV:UNSET}
    </Location>
    <Location /l/token-callable>
        WSGICallableObject %{GLOBAL}
    </Location>
    <Location /l/embedded>
        WSGIProcessGroup %{GLOBAL}
    </Location>
    <Location /l/restricted>
        WSGIRestrictProcess tests %{GLOBAL}
    </Location>
    <Location /l/restricted-none>
        WSGIRestrictProcess other
    </Location>
    WSGIScriptAlias /l "${scripts}/group.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName upper.TEST
    ServerAlias alias.test
    WSGIApplicationGroup %{SERVER}
    WSGIScriptAlias / "${scripts}/group.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName host.test
    WSGIApplicationGroup %{HOST}
    WSGIScriptAlias / "${scripts}/group.py"
    ServerAlias *.host.test
</VirtualHost>
<VirtualHost *:${port}>
    ServerName named.test:8080
    UseCanonicalName On
    WSGIApplicationGroup %{SERVER}
    WSGIScriptAlias / "${scripts}/group.py"
    WSGIScriptAlias /deep/er "${scripts}/group.py" application-group=%{RESOURCE}
</VirtualHost>
<VirtualHost *:${port}>
    ServerName merged.test
    WSGIApplicationGroup of-the-host
    WSGICallableObject other
    <Location /inner>
        WSGIApplicationGroup of-the-location
    </Location>
    <Location /inner/deeper>
        WSGICallableObject application
    </Location>
    WSGIScriptAlias / "${scripts}/group.py"
</VirtualHost>
""")

PLACES = ["a/plain", "a/global", "a/resource", "a/server", "a/named", "a/host", "a/env",
          "a/env-httpd", "a/env-unset", "a/env-again", "a/inside", "a/after", "a/unknown",
          "a/callable", "a/callable-raw", "a/embedded", "a/group-env", "l/plain", "l/global",
          "l/server", "l/resource", "l/env", "l/env-callable", "l/env-callable-unset",
          "l/token-callable", "l/embedded", "l/restricted", "l/restricted-none"]

CASES = [
    *[case(f"group-{place.replace('/', '-')}", ask(f"/{place}")) for place in PLACES],
    case("group-resource-path", ask("/a/resource/more//path")),
    case("group-resource-slashes", ask("//a///resource")),
    case("group-authorization", ask("/a/authorization", "Authorization: Other x")),
    case("group-server-letters", ask("/", host="upper.test")),
    case("group-server-alias", ask("/", host="alias.test")),
    case("group-server-port", ask("/", host="alias.test:8000")),
    case("group-host", ask("/", host="host.test")),
    case("group-host-port", ask("/", host="a.host.test:8000")),
    case("group-host-letters", ask("/", host="B.Host.test")),
    case("group-host-none", ask("/", host="host.test", version="HTTP/1.0")),
    case("group-port-named", ask("/", host="named.test")),
    case("group-port-named-deep", ask("/deep/er/x", host="named.test")),
    case("group-merged", ask("/", host="merged.test")),
    case("group-merged-inner", ask("/inner", host="merged.test")),
    case("group-merged-deeper", ask("/inner/deeper", host="merged.test")),
]
