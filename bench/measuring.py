"""Interleaved measuring: all servers of a scenario run at the same time and are loaded in turn.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import dataclasses
import subprocess
import time

import counters
import kinds
import load
from figures import median, median_of_ratios, merged, percentile
from results import Table
from scenarios import FAST
from servers import NotMeasured, Server

CLOSING = "16, no keep-alive"


@dataclasses.dataclass
class Plan:
    """How long and how often."""

    rounds: int = 5
    seconds: float = 3
    warmup: float = 0.5
    clients: tuple = (1, 16, 128, CLOSING)
    count_share: float = 1  # of the requests that a scenario wants counted


@contextlib.contextmanager
def running(directory, table, names, application, shape):
    """Starts each server that can be: name → Server; and what is missing, with the reason."""
    with contextlib.ExitStack() as stack:
        servers, missing = {}, []
        for name in names:
            try:
                setup = table.setup(name, application, shape)
                servers[name] = stack.enter_context(Server(directory, setup)).wait()
            except (NotMeasured, OSError) as error:
                missing.append(f"{name}: {error}")
        try:
            yield servers, missing
        finally:
            for server in servers.values():
                server.terminate()


def wanted(names, application):
    """A handler in C is no server of every scenario: that is nothing to remark on."""
    return [name for name in names if name != kinds.FLOOR or application.floor]


# ---- one scenario under load --------------------------------------------------------------------

def load_once(server, client, clients, plan):
    """One turn of one server: what the client saw, and CPU time per request of the server."""
    options = (dict(connections=16, keep_alive=False) if clients == CLOSING
               else dict(connections=clients))
    pids = server.pids()
    before = counters.cpu_s(pids)
    result = client.run(server.port, seconds=plan.seconds, **options)
    # CPU time of requests under way at the end is counted and they are not: some, of thousands.
    result["cpu_us"] = ((counters.cpu_s(pids) - before) / max(result["answers"], 1)) * 1e6
    result["per_second"] = result["answers"] / result["seconds"]
    return result


def warm_up(server, client, keep_alive, seconds):
    """First all processes load the application, however long that takes."""
    client.run(server.port, connections=32, count=64, keep_alive=keep_alive)
    client.run(server.port, connections=4, seconds=seconds, keep_alive=keep_alive)


def load_rounds(report, scenario, servers, requests_of, clients, plan, remarks):
    """name → results of all rounds, A B A B …; a server that fails is left out from there on."""
    results = {name: [] for name in servers}
    for turn in range(plan.rounds):
        for name, server in servers.items():
            if name in remarks:
                continue
            try:
                client = requests_of(clients != CLOSING)
                if turn == 0:
                    warm_up(server, client, clients != CLOSING, plan.warmup)
                result = load_once(server, client, clients, plan)
                load.check(result, scenario.body)
            except (NotMeasured, subprocess.SubprocessError) as error:
                remarks[name] = f"{name}, {clients} clients: {error}"
                continue
            results[name].append(result)
            report.note(scenario=scenario.name, server=name, clients=clients, round=turn, **result)
    return {name: rounds for name, rounds in results.items() if rounds}


def load_row(name, clients, results):
    """Medians over rounds; ratios to Debian's module of the same mode, within each round."""
    rounds = results[name]
    reference = results.get(kinds.REFERENCE.get(name, kinds.PEER_DAEMON), [])
    latencies = merged(each["latencies_us"][FAST] for each in rounds)

    def ratio(key):
        return median_of_ratios([each[key] for each in rounds], [each[key] for each in reference])

    return [name, str(clients), median(each["per_second"] for each in rounds), ratio("per_second"),
            median(each["cpu_us"] for each in rounds), ratio("cpu_us"),
            percentile(latencies, 0.5) / 1000, percentile(latencies, 0.99) / 1000,
            sum(each["dropped"] for each in rounds)]


LOAD_COLUMNS = [("server", ""), ("clients", ""), ("requests/s", ",.0f"), ("ratio", ".2f"),
                ("CPU µs", ",.1f"), ("ratio", ".2f"), ("p50 ms", ",.2f"), ("p99 ms", ",.2f"),
                ("dropped", "d")]


def load_scenario(directory, table, report, scenario, names, plan):
    """The table of one scenario, and its rows of the summary: (clients, name, ratios)."""
    begun = time.monotonic()
    rows, remarks = [], {}

    def requests_of(keep_alive):
        return load.Client.of(directory, scenario.name, scenario.classes(), keep_alive)

    names = wanted(names, scenario.application)
    with running(directory, table, names, scenario.application, kinds.LOADED) as (servers, missing):
        for clients in plan.clients:
            results = load_rounds(report, scenario, servers, requests_of, clients, plan, remarks)
            rows += [load_row(name, clients, results) for name in results]
    report.add(Table(f"load-{scenario.name}",
                     f"{scenario.name}: {scenario.title} ({plan.rounds} rounds of "
                     f"{plan.seconds:g} s, {time.monotonic() - begun:.0f} s in all)",
                     LOAD_COLUMNS, rows, [*missing, *remarks.values()]))
    return [[scenario.name, *row] for row in rows]


def summary(rows, clients):
    """Ratios of ours over all scenarios, at one number of clients."""
    found = {(row[0], row[1]): row for row in rows if row[2] == str(clients)}
    scenarios = dict.fromkeys(row[0] for row in rows)

    def cell(scenario, name, column):
        row = found.get((scenario, name))
        return row[column] if row else None

    return Table("summary", f"Ours as a ratio to Debian's mod_wsgi of the same mode, {clients} "
                 "clients",
                 [("scenario", ""), ("embedded: CPU", ".2f"), ("requests/s", ".2f"),
                  ("daemon: CPU", ".2f"), ("requests/s", ".2f")],
                 [[scenario, *(cell(scenario, name, column)
                               for name in (kinds.OURS_EMBEDDED, kinds.OURS_DAEMON)
                               for column in (6, 4))] for scenario in scenarios])


# ---- counts -------------------------------------------------------------------------------------

COUNT_COLUMNS = [("scenario", ""), ("server", ""), ("instructions", ",.0f"),
                 ("without httpd", ",.0f"), ("ratio", ".2f"), ("system calls", ",.1f"),
                 ("ratio", ".2f")]


def counts(directory, table, report, scenarios, names, plan):
    """Instructions and system calls per request, of each server in each scenario."""
    rows, remarks = [], []
    for scenario in scenarios:
        requests = max(10, int(scenario.counted * plan.count_share))
        found = {}
        for name in wanted(names, scenario.application):
            row = counters.count(directory, table, name, scenario, requests,
                                 warmup=min(counters.WARMUP, requests))
            del row["profiles"]
            report.note(kind="counts", requests=requests, **row)
            found[name] = row
            if row["error"]:
                remarks.append(f"{scenario.name}, {name}: {row['error']}")
        rows += [count_row(scenario, name, found) for name in found]
    report.add(Table("counts", "Per request, all processes, one client", COUNT_COLUMNS, rows,
                     remarks))


def count_row(scenario, name, found):
    reference = found.get(kinds.REFERENCE.get(name, kinds.PEER_DAEMON), {})
    floor = found.get(kinds.FLOOR, {}).get("instructions")
    instructions, calls = found[name]["instructions"], found[name]["system_calls"]

    def ratio(value, key):
        return value / reference[key] if value and reference.get(key) else None

    return [scenario.name, name, instructions,
            instructions - floor if instructions and floor else None,
            ratio(instructions, "instructions"), calls, ratio(calls, "system_calls")]
