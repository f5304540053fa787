"""Fields of proxies that are trusted, and the environ that comes of them.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

LISTS = {
    "all": "X-Forwarded-For X-Client-IP X-Real-IP X-Forwarded-Proto X-Forwarded-Host "
           "X-Forwarded-Server X-Forwarded-Port X-Script-Name",
    "for": "X-Forwarded-For",
    "client": "X-Client-IP X-Real-IP",
    "scheme": "X-Forwarded-Proto X-Forwarded-Scheme X-Scheme",
    "flag": "X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS",
    "host": "X-Forwarded-Host X-Host",
    "script": "X-Script-Name X-Forwarded-Script-Name",
    "letters": "x-forwarded-for X-FORWARDED-PROTO",
    "unknown": "X-Nonsense",
}

PROXIES = {
    "trusted": "WSGITrustedProxies 127.0.0.1 10.0.0.0/8",
    "untrusted": "WSGITrustedProxies 192.0.2.1",
    "open": "",
}


def place(name, directives):
    return (f"<Location /{name}>\n{directives}\n</Location>\n"
            f'WSGIScriptAlias /{name} "${{apps}}/environ.py"\n')


SETUP = Setup("proxies", text='DocumentRoot "${scripts}/site"\n' + "".join(
    place(f"{trust}-{name}", f"WSGITrustedProxyHeaders {names}\n{proxies}")
    for trust, proxies in PROXIES.items() for name, names in LISTS.items()))

FILES = {"site/empty": ""}

FORWARDED = {
    "for-one": "X-Forwarded-For: 203.0.113.5",
    "for-chain": "X-Forwarded-For: 198.51.100.1, 203.0.113.5, 10.1.2.3",
    "for-blanks": "X-Forwarded-For:  , 203.0.113.5 ,, 10.1.2.3 ,",
    "for-odd": "X-Forwarded-For: 203.0.113.5, unknown, 10.1.2.3",
    "for-all-trusted": "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    "for-empty": "X-Forwarded-For:",
    "for-commas": "X-Forwarded-For: , ,",
    "for-ipv6": "X-Forwarded-For: 2001:db8::1",
    "for-two": "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-For: 10.0.0.9",
    "client": "X-Client-IP: 203.0.113.5\r\nX-Real-IP: 203.0.113.6",
    "real": "X-Real-IP: nonsense",
    "proto-https": "X-Forwarded-Proto: https",
    "proto-letters": "X-Forwarded-Proto: HTTPS",
    "proto-http": "X-Forwarded-Proto: http",
    "proto-odd": "X-Forwarded-Proto: ftp",
    "scheme": "X-Scheme: https\r\nX-Forwarded-Scheme: http",
    "flag-on": "X-Forwarded-SSL: on",
    "flag-one": "X-HTTPS: 1",
    "flag-true": "X-Forwarded-HTTPS: true",
    "flag-off": "X-Forwarded-HTTPS: Off",
    "host": "X-Forwarded-Host: public.example:8443",
    "host-both": "X-Forwarded-Host: one.example\r\nX-Host: two.example",
    "server-port": "X-Forwarded-Server: front\r\nX-Forwarded-Port: 8443",
    "script": "X-Script-Name: /mounted",
    "script-other": "X-Forwarded-Script-Name: /other",
    "many": "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n"
            "X-Forwarded-Host: public.example\r\nX-Script-Name: /m",
}

CASES = [
    *[case(f"proxy-{trust}-{name}", ask(f"/{trust}-all/x", fields))
      for trust in PROXIES for name, fields in FORWARDED.items()],
    *[case(f"proxy-{trust}-list-{name}", ask(f"/{trust}-{name}/x", *FORWARDED.values()))
      for trust in PROXIES for name in LISTS],
]
