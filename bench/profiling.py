"""Where the instructions of a scenario go: callgrind's report, of each process that matters.

SPDX-License-Identifier: Apache-2.0
"""

import counters
import kinds
import load
from servers import CACHE, run

VIEWS = (("Inclusive: a function with all that it calls", ("--inclusive=yes",)),
         ("Exclusive: a function alone", ("--inclusive=no",)),
         ("Callers and callees", ("--inclusive=yes", "--tree=both")))


def profile(directory, table, scenario, name, requests, path=None):
    """Writes the report and gives its path."""
    setup = table.setup(name, scenario.application, kinds.COUNTED)
    client = load.Client.of(directory, scenario.name, scenario.classes())
    [(instructions, found)] = counters.instructions(directory, setup, [client], requests)
    total = sum(count for count, _ in found)
    if path is None:
        CACHE.mkdir(parents=True, exist_ok=True)
        path = CACHE / f"profile-{scenario.name}-{name.replace(', ', '-').replace(' ', '-')}.txt"
    with open(path, "w") as file:
        file.write(f"{name}, scenario {scenario.name}: {scenario.title}\n{instructions:,.0f} user "
                   f"instructions per request; the figures below are those of "
                   f"{requests + counters.FEW} requests\n")
        for count, profile_path in found:
            if count < total / 50:
                continue
            for title, options in VIEWS:
                file.write(f"\n{'=' * 100}\nprocess {profile_path.name.split('.')[1]}, "
                           f"{count / total:.0%} of all. {title}\n{'=' * 100}\n")
                file.write(run(["callgrind_annotate", "--auto=no", "--threshold=99", *options,
                                str(profile_path)]))
    return path
