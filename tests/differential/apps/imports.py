"""What the modules mod_wsgi and apache hold, and what cannot be imported."""

import json
import sys

import mod_wsgi

NAMES = ("version", "process_group", "application_group", "maximum_processes",
         "threads_per_process", "FileWrapper", "RequestTimeout", "subscribe_events",
         "subscribe_shutdown", "event_callbacks", "shutdown_callbacks", "request_data",
         "active_requests", "start_recording_metrics", "request_metrics", "process_metrics",
         "server_metrics")


def application(environ, start_response):
    import apache
    told = {name: hasattr(mod_wsgi, name) for name in NAMES}
    told |= {f"apache.{name}": type(getattr(apache, name, None)).__name__
             for name in ("version", "description", "build_date", "mpm_name", "maximum_processes",
                          "threads_per_process")}
    told["registered"] = [name in sys.modules for name in ("mod_wsgi", "apache", "__main__")]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
