"""Directives that httpd accepts or not: only that is compared, for the texts are our own. What runs
is in the other suites.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, Syntax

SETUP = Setup("syntax", modes=("embedded",), is_run=False)

GROUP = "WSGIDaemonProcess g threads=2\n"
SCRIPT = '"${scripts}/x.py"'


def inside(section, text):
    return f"<{section}>\n    {text}\n</{section.split()[0]}>\n"


# A directive, as it would stand in a file.
DIRECTIVES = {
    "scriptalias": f"WSGIScriptAlias /x {SCRIPT}",
    "scriptaliasmatch": f"WSGIScriptAliasMatch ^/x {SCRIPT}",
    "daemonprocess": "WSGIDaemonProcess own threads=1",
    "processgroup": "WSGIProcessGroup %{GLOBAL}",
    "applicationgroup": "WSGIApplicationGroup %{GLOBAL}",
    "callableobject": "WSGICallableObject x",
    "handlerscript": f"WSGIHandlerScript x {SCRIPT}",
    "importscript": f"WSGIImportScript {SCRIPT} process-group=%{{GLOBAL}} application-group=x",
    "restrictprocess": "WSGIRestrictProcess x",
    "restrictembedded": "WSGIRestrictEmbedded On",
    "passauthorization": "WSGIPassAuthorization On",
    "passapacherequest": "WSGIPassApacheRequest On",
    "scriptreloading": "WSGIScriptReloading Off",
    "erroroverride": "WSGIErrorOverride On",
    "chunkedrequest": "WSGIChunkedRequest On",
    "mapheadtoget": "WSGIMapHEADToGET Auto",
    "enablesendfile": "WSGIEnableSendfile On",
    "ignoreactivity": "WSGIIgnoreActivity On",
    "casesensitivity": "WSGICaseSensitivity Off",
    "socketprefix": "WSGISocketPrefix /tmp/x",
    "acceptmutex": "WSGIAcceptMutex default",
    "pythonhome": "WSGIPythonHome /usr",
    "pythonpath": "WSGIPythonPath /tmp",
    "pythoneggs": "WSGIPythonEggs /tmp",
    "pythonoptimize": "WSGIPythonOptimize 1",
    "pythonwarnings": "WSGIPythonWarnings ignore",
    "pythonhashseed": "WSGIPythonHashSeed 5",
    "dontwritebytecode": "WSGIDontWriteBytecode On",
    "destroyinterpreter": "WSGIDestroyInterpreter Off",
    "restrictstdin": "WSGIRestrictStdin On",
    "restrictstdout": "WSGIRestrictStdout On",
    "restrictsignal": "WSGIRestrictSignal Off",
    "servermetrics": "WSGIServerMetrics On",
    "accessscript": f"WSGIAccessScript {SCRIPT}",
    "authuserscript": f"WSGIAuthUserScript {SCRIPT}",
    "authgroupscript": f"WSGIAuthGroupScript {SCRIPT} application-group=x",
    "groupauthoritative": "WSGIGroupAuthoritative Off",
    "dispatchscript": f"WSGIDispatchScript {SCRIPT}",
    "trustedproxyheaders": "WSGITrustedProxyHeaders X-Forwarded-For",
    "trustedproxies": "WSGITrustedProxies 10.0.0.0/8 ::1",
    "verbosedebugging": "WSGIVerboseDebugging On",
}

PLACES = {
    "": "{}\n",
    "vhost": "<VirtualHost *:${{port}}>\n    {}\n</VirtualHost>\n",
    "location": "<Location /x>\n    {}\n</Location>\n",
}

TEXTS = {
    "flag-letters": "WSGIPassAuthorization oN",
    "flag-yes": "WSGIPassAuthorization yes",
    "flag-one": "WSGIScriptReloading 1",
    "flag-none": "WSGIPassAuthorization",
    "alias-none": "WSGIScriptAlias /x",
    "alias-option": f"WSGIScriptAlias /x {SCRIPT} nonsense=1",
    "alias-option-bare": f"WSGIScriptAlias /x {SCRIPT} nonsense",
    "alias-option-letters": f"WSGIScriptAlias /x {SCRIPT} Process-Group=x",
    "alias-option-blank": f"WSGIScriptAlias /x {SCRIPT} process-group = x",
    "alias-option-empty": f"WSGIScriptAlias /x {SCRIPT} application-group=",
    "alias-option-twice": f"WSGIScriptAlias /x {SCRIPT} application-group=a application-group=b",
    "alias-authorization": f"WSGIScriptAlias /x {SCRIPT} pass-authorization=Perhaps",
    "alias-bad-expression": f"WSGIScriptAliasMatch '^/(x' {SCRIPT}",
    "alias-group": GROUP + f"WSGIScriptAlias /x {SCRIPT} process-group=g application-group=x",
    "alias-group-later": f"WSGIScriptAlias /x {SCRIPT} process-group=g application-group=x\n" + GROUP,
    "alias-group-unknown": f"WSGIScriptAlias /x {SCRIPT} process-group=u",
    "alias-groups-unknown": f"WSGIScriptAlias /x {SCRIPT} process-group=u application-group=x",
    "group-unknown": "WSGIProcessGroup unknown",
    "group-twice": GROUP + GROUP,
    "group-no-name": "WSGIDaemonProcess",
    "group-option": "WSGIDaemonProcess x nonsense=1",
    "group-option-bare": "WSGIDaemonProcess x nonsense",
    "group-option-letters": "WSGIDaemonProcess x Threads=2",
    "group-quotes": "WSGIDaemonProcess x display-name='a b'",
    "group-quotes-whole": "WSGIDaemonProcess x 'display-name=a b'",
    "group-root": "WSGIDaemonProcess x user=root",
    "group-user-unknown": "WSGIDaemonProcess x user=no-such-user",
    "group-group-unknown": "WSGIDaemonProcess x group=no-such-group",
    "group-script-both": "WSGIDaemonProcess x script-user=root script-group=root",
    "import-none": f"WSGIImportScript {SCRIPT}",
    "import-one": f"WSGIImportScript {SCRIPT} process-group=%{{GLOBAL}}",
    "import-unknown": f"WSGIImportScript {SCRIPT} process-group=u application-group=x",
    "import-later": f"WSGIImportScript {SCRIPT} process-group=g application-group=x\n" + GROUP,
    "mutex-letters": "WSGIAcceptMutex FCNTL",
    "mutex-unknown": "WSGIAcceptMutex nonsense",
    "seed-random": "WSGIPythonHashSeed random",
    "seed-negative": "WSGIPythonHashSeed -1",
    "seed-large": "WSGIPythonHashSeed 4294967296",
    "seed-text": "WSGIPythonHashSeed x",
    "optimize-negative": "WSGIPythonOptimize -1",
    "optimize-text": "WSGIPythonOptimize x",
    "head-text": "WSGIMapHEADToGET Perhaps",
    "home-missing": "WSGIPythonHome /no/such/place",
    "handler-option": f"WSGIHandlerScript x {SCRIPT} nonsense=1",
    "handler-none": "WSGIHandlerScript x",
    "restrict-none": "WSGIRestrictProcess",
    "proxies-name": "WSGITrustedProxies proxy.example",
    "proxies-wrong": "WSGITrustedProxies 10.0.0.0/99",
    "proxies-mask": "WSGITrustedProxies 10.0.0.0/255.0.0.0",
    "proxies-part": "WSGITrustedProxies 10.0",
    "headers-unknown": "WSGITrustedProxyHeaders X-Nonsense",
    "headers-none": "WSGITrustedProxyHeaders",
    "dispatch-option": f"WSGIDispatchScript {SCRIPT} nonsense=1",
    "unknown": "WSGINonsense On",
    "lazy": "WSGILazyInitialization On",
    "python-3k": "WSGIPy3kWarningFlag On",
}

OPTIONS = ["processes=0", "processes=-1", "processes=x", "threads=0", "threads=-1", "threads=10s",
           "threads=x", "threads=", "umask=27", "umask=x", "cpu-priority=-5", "cpu-priority=x",
           "stack-size=0", "stack-size=x", "memory-limit=-1", "memory-limit=x",
           "send-buffer-size=100", "send-buffer-size=0", "receive-buffer-size=512",
           "header-buffer-size=100", "header-buffer-size=8192", "response-buffer-size=100",
           "listen-backlog=0", "listen-backlog=x", "maximum-requests=x", "maximum-requests=-1",
           "deadlock-timeout=-1", "inactivity-timeout=x", "request-timeout=0", "graceful-timeout=0",
           "shutdown-timeout=-1", "connect-timeout=x", "queue-timeout=-1", "startup-timeout=x",
           "restart-interval=x", "cpu-time-limit=x", "home=relative", "home=/no/such/place",
           "chroot=/no/such/place", "python-home=/no/such/place", "python-path=", "lang=",
           "locale=", "server-metrics=Perhaps", "supplementary-groups=no-such-group",
           "socket-user=no-such-user", "socket-user=root", "script-user=no-such-user",
           "response-socket-timeout=5", "eviction-timeout=5", "display-name="]

CASES = [
    *[Syntax(f"syntax-{name}{'-in-' * bool(place)}{place}", form.format(text))
      for name, text in DIRECTIVES.items() for place, form in PLACES.items()],
    *[Syntax(f"syntax-{name}", text + "\n") for name, text in TEXTS.items()],
    *[Syntax(f"syntax-option-{text}", f"WSGIDaemonProcess x {text}\n") for text in OPTIONS],
]
