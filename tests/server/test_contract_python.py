"""What Python code finds: its module, streams, signals, environment, threads, interpreters."""

import signal

import env
import pytest

CONFIG = """
SetEnv BY_SET_ENV yes
WSGIScriptAlias /again "${scripts}/counting.py"
WSGIScriptAlias /one "${scripts}/counting.py" application-group=shared
WSGIScriptAlias /two "${scripts}/counting.py" application-group=shared
WSGIScriptAlias /main "${scripts}/looking.py" application-group=%{GLOBAL}
WSGIScriptAlias /third "${scripts}/looking.py" application-group=third
WSGIScriptAlias /kept "${scripts}/kept.py"
<Location /kept>
    WSGIScriptReloading Off
</Location>
"""

COUNTING = '''
count = 0

def application(environ, start_response):
    global count
    count += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % count]
'''

# Evaluates what the test sends, and answers with it as JSON.
LOOKING = '''
import json, os, signal, sys, threading, time

local = threading.local()
seen = {}

def count_thread():
    """This thread's number, the requests it has seen by its local and by a shared dictionary."""
    local.count = getattr(local, "count", 0) + 1
    me = threading.get_ident()
    seen[me] = seen.get(me, 0) + 1
    return [me, local.count, seen[me]]

def in_child(action):
    """What action() gives in a forked process, or the exception's text; and its exit status."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = action()
        except BaseException as error:
            result = repr(error)
        os.write(write, json.dumps(result).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    return [json.loads(data or "null"), os.waitpid(pid, 0)[1]]

def handle_signal():
    got = []
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])  # threads of httpd block all
    signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    return [got == [signal.SIGUSR1], callable(signal.getsignal(signal.SIGUSR1))]

def end_by_signal():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)

def application(environ, start_response):
    source = environ["wsgi.input"].read().decode()
    body = json.dumps(eval(source, globals(), {"environ": environ})).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=("env",), single_child=True,
                    environment={"FROM_OUTSIDE": "yes"})
    server.script("counting.py", COUNTING)
    server.script("looking.py", LOOKING)
    return server


def evaluate(server, source, url="/scripts/looking.py"):
    reply = server.post(url, source.encode())
    assert reply.status == 200, reply
    return reply.json()


# ---- scripts

@pytest.mark.compat("LOAD-per-group")
def test_one_file_at_several_urls(server):
    assert [server.get(url).body for url in ("/one", "/two", "/again", "/one")] == \
        [b"1", b"2", b"1", b"3"]


@pytest.mark.compat("RELOAD-off", "DIR-scriptreloading")
def test_no_reloading(server):
    server.script("kept.py", COUNTING, mtime=1_700_000_000)
    assert server.get("/kept").body == b"1"
    server.script("kept.py", "raise AssertionError('was loaded')\n", mtime=1_700_000_100)
    assert server.get("/kept").body == b"2"


@pytest.mark.compat("RELOAD-embedded")
def test_imports_outlive_a_reload(launch_once):
    server = launch_once("embedded", single_child=True)
    source = COUNTING.replace("count = 0", "import string").replace(
        "global count", "string.count = count = getattr(string, 'count', 0)").replace(
        "count += 1", "string.count += 1; count += 1")
    url = server.script("imports.py", source, mtime=1_700_000_000)
    assert server.get(url).body == b"1"
    server.script("imports.py", source.replace("%d", "new %d"), mtime=1_700_000_100)
    assert server.get(url).body == b"new 2"


@pytest.mark.compat("DIR-pythonoptimize")
def test_optimize_below_zero(launch_once, mode):
    server = launch_once(mode, config="WSGIPythonOptimize -3")
    server.script("looking.py", LOOKING)
    assert evaluate(server, "sys.flags.optimize") == 0


# ---- modules

@pytest.mark.compat("MOD-mod-wsgi", "MOD-apache", "MOD-detect", "MOD-version", "MOD-groups")
def test_built_in_modules(server, mode):
    assert evaluate(server, "[m in sys.modules for m in ('mod_wsgi', 'apache')]") == [True, True]
    found = evaluate(server, "[(m := __import__('mod_wsgi')).version, m.process_group,"
                             " m.application_group, m.quetzal_version]")
    assert found[:3] == [[6, 0, 5], "" if mode == "embedded" else "tests",
                         f"localhost:{server.port}|/scripts/looking.py"]
    assert evaluate(server, "__import__('apache').version")[:2] == [2, 4]
    assert evaluate(server, "__import__('apache').description").startswith("Apache/2.4")


# ---- streams

@pytest.mark.compat("STREAM-stdin")
def test_stdin_is_the_servers(server):
    assert evaluate(server, "sys.stdin.read()") == ""


@pytest.mark.compat("STREAM-output", "STREAM-names", "ERRORS-level", "LOG-module", "LOG-request")
def test_lines_of_a_request(server):
    """At level error, of module wsgi, behind the client and the script in brackets."""
    server.expect_output("by every way$", count=3)
    for stream in ("environ['wsgi.errors']", "sys.stdout", "sys.stderr"):
        evaluate(server, f"print('by every way', file={stream})")
    lines = [line for line in server.log.recent() if "by every way" in line.text]
    assert {(line.module, line.level) for line in lines} == {("wsgi", "error")}
    assert {line.text for line in lines} == \
        {f"[{server.directory}/scripts/looking.py] by every way"}
    assert all("[client 127.0.0.1:" in line.raw for line in lines)


# ---- signals and forks

@pytest.mark.compat("SIGNAL-restricted")
def test_signal_registers_nothing(server):
    assert evaluate(server, "[signal.signal(signal.SIGTERM, print) is print,"
                            " signal.getsignal(signal.SIGTERM) is print]", "/main") == [True, False]
    assert "signal.signal() was ignored" in server.log.text()


@pytest.mark.compat("SIGNAL-others")
def test_other_functions_of_signal(server):
    assert evaluate(server, "signal.strsignal(15)") == "Terminated"
    assert evaluate(server, "15 in signal.valid_signals()") is True
    assert evaluate(server, "signal.pthread_sigmask(signal.SIG_BLOCK, []) is not None") is True


@pytest.fixture(scope="module")
def forking(launch, mode):
    """A server of the main interpreter alone: where there are others, Python 3.11's own os.fork()
    may hang in the new process."""
    server = launch(mode, config="WSGIApplicationGroup %{GLOBAL}", single_child=True)
    server.script("looking.py", LOOKING)
    return server


@pytest.mark.compat("SIGNAL-forked")
def test_signal_in_a_forked_process(forking):
    assert evaluate(forking, "in_child(handle_signal)") == [[True, True], 0]


@pytest.mark.compat("PROC-fork", "PROC-fork-embedded")
def test_a_forked_process_ends_by_a_signal(forking):
    before = evaluate(forking, "os.getpid()")
    assert evaluate(forking, "in_child(end_by_signal)") == [None, signal.SIGTERM]
    assert evaluate(forking, "os.getpid()") == before


# ---- the process

@pytest.mark.compat("PROC-argv", "PROC-environ")
def test_arguments_and_environment(server):
    assert evaluate(server, "sys.argv") == ["mod_wsgi"]
    assert evaluate(server, "[os.environ.get(n) for n in ('FROM_OUTSIDE', 'BY_SET_ENV')]") == \
        ["yes", None]


@pytest.mark.compat("PROC-main-thread")
def test_main_thread(server):
    """The main interpreter's is the process's first thread, and never one that serves."""
    assert evaluate(server, "[threading.main_thread().native_id == os.getpid(),"
                            " threading.current_thread() is threading.main_thread()]",
                    "/main")[0] is True


@pytest.mark.compat("PROC-codecs", "INTERP-legacy")
def test_codecs_in_sub_interpreters(server):
    assert evaluate(server, "'codecs' in sys.modules and 'caf\\xe9'.encode('latin-1').hex()",
                    "/third") == "636166e9"


@pytest.mark.compat("PROC-thread-locals", "ENV-thread-id", "LIFE-threads-own")
def test_threads_keep_their_locals(server):
    numbers = {}
    for _ in range(40):
        number, (thread, own, shared) = evaluate(
            server, "[environ['mod_wsgi.thread_id'], count_thread()]")
        assert own == shared
        assert numbers.setdefault(number, thread) == thread
    assert all(number >= 1 for number in numbers)
    assert evaluate(server, "[t := threading.Thread(target=time.sleep, args=(0,)), t.start(),"
                            " t.join(), environ['mod_wsgi.thread_id'] >= 1][-1]") is True


# ---- interpreters

@pytest.mark.compat("INTERP-environ", "INTERP-apart", "INTERP-lives")
def test_interpreters_are_apart(server):
    """Environment, path, builtins and modules of one do not show in another."""
    change = ("[os.environ.__setitem__('FROM_ONE', 'yes'), sys.path.append('/from-one'),"
              " setattr(__import__('builtins'), 'from_one', 1), setattr(json, 'from_one', 1)] and"
              " id(sys.modules)")
    look = ("[os.environ.get('FROM_ONE'), '/from-one' in sys.path,"
            " hasattr(__import__('builtins'), 'from_one'), hasattr(json, 'from_one')]")
    evaluate(server, look, "/third")  # both exist before one changes
    evaluate(server, change, "/main")
    assert evaluate(server, look, "/main") == ["yes", True, True, True]
    assert evaluate(server, look, "/third") == [None, False, False, False]


# ---- input

@pytest.mark.compat("INPUT-gil", "BODY-streamed")
def test_others_run_while_one_waits_for_its_body(launch_once, mode):
    """One process, one interpreter: the second request is served while the first one reads."""
    if mode == "embedded" and env.MPM == "prefork":
        pytest.skip("one thread per process")
    server = launch_once(mode, single_child=env.MPM != "prefork",
                         config='WSGIScriptAlias /also "${apps}/echo.py" '
                                'application-group=%{GLOBAL}\n'
                                '<Location /echo>\nWSGIApplicationGroup %{GLOBAL}\n</Location>')
    with server.raw() as slow:
        slow.request("POST /echo?how=return", "Content-Length: 10", "Connection: close")
        slow.send(b"1" * 5)
        assert server.post("/also?how=return", b"quick").body == b"quick"
        slow.send(b"2" * 5)
        assert slow.read_to_end().endswith(b"1111122222")
