"""Statistics over rounds and histograms, and how a figure is printed.

SPDX-License-Identifier: Apache-2.0
"""

import statistics


def figure(value, form):
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, form)


def merged(histograms):
    """Histograms are lists of [value, count], values ascending."""
    counts = {}
    for histogram in histograms:
        for value, count in histogram:
            counts[value] = counts.get(value, 0) + count
    return sorted([value, count] for value, count in counts.items())


def percentile(histogram, share):
    """The smallest value that is not exceeded by so large a share; None where there is none."""
    total = sum(count for _, count in histogram)
    if total == 0:
        return None
    reached = 0
    for value, count in histogram:
        reached += count
        if reached >= share * total:
            break
    return value


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def median_of_ratios(values, references):
    """Of the ratios within each round: what disturbs both at a time falls out."""
    ratios = [value / reference for value, reference in zip(values, references)
              if value is not None and reference]
    return median(ratios)
