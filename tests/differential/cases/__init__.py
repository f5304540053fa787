"""The suites, in the order they run. Each has SETUP, CASES and, where it needs them, FILES."""

from . import environ

SUITES = [environ]
