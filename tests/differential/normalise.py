"""What may vary from server to server, and is made equal before it is compared: each rule once.

SPDX-License-Identifier: Apache-2.0
"""

import re
from dataclasses import dataclass


@dataclass
class Rule:
    items: str  # an expression for the names of items, matched whole
    pattern: str
    by: str
    why: str

    def apply(self, item, text):
        return re.sub(self.pattern, self.by, text) if re.fullmatch(self.items, item) else text


# Lines of the log that come or not: prefork with its one child busy.
LEFT_OUT = r" AH00161: "

# Applied in this order, after directory and port of the server have become ROOT and PORT. "log" is
# one line of it, which begins with module:level.
RULES = [
    Rule("field Date|field Last-Modified",
         r"\w{3}, \d\d \w{3} 20[0-8]\d \d\d:\d\d:\d\d GMT", "DATE",
         "the time of the run; times that a case sends are of other centuries or decades"),
    Rule("field Server|environ SERVER_SOFTWARE|body .*", r"mod_wsgi/[\d.]+( Quetzal/\S+)?",
         "mod_wsgi/VERSION", "the module's own version"),
    Rule("field Content-Type|body", r"(boundary=|--)[0-9a-f]{9,16}\b", r"\1BOUNDARY",
         "httpd makes it of the time"),
    Rule("environ (mod_wsgi|apache).version", r"\[.*\]", "VERSION",
         "the module's own, and of the httpd that it was built for"),
    Rule("environ .*|body .*|log", r" at 0x[0-9a-f]+", " at ADDRESS", "addresses of objects"),
    Rule("environ REMOTE_PORT", r"\d+", "PORT", "the client's port"),
    Rule("environ mod_wsgi.(server_pid|request_id|connection_id)", r"str .+", "str ID",
         "process and request"),
    Rule("environ mod_wsgi.thread_id", r"\d+", "NUMBER", "which thread served"),
    Rule("environ mod_wsgi.\\w+_start", r"float [1-9][\d.]+", "float TIME", "the moment"),
    Rule("environ mod_wsgi.\\w+_start", r"str [1-9]\d+", "str TIME", "the moment"),
    Rule("log", r"_mod_wsgi_[0-9a-f]{32}", "_mod_wsgi_MD5", "the path is another one"),
    Rule("log", r"^(\w+:\w+) \[remote [\d.:]+\] ", r"\1 ", "how 4.9 names the client in daemon mode"),
    Rule("log", r"^(\w+:\w+) mod_wsgi \(pid=\d+[^)]*\): ", r"\1 ", "LOG-old-prefix"),
    Rule("log", r"^(wsgi:\w+) \[ROOT/[^]]*\] ", r"\1 ", "ERRORS-level: 6.0 names the script"),
    Rule("log", r"^(wsgi:\w+ WSGI\d{4}): .*", r"\1", "texts of messages are our own"),
    Rule("log", r"^(wsgi:\w+ \w*(?:Error|Exception|Timeout)): .*", r"\1",
         "so are those of exceptions that the module raises"),
    Rule("log", r"^(wsgi:error) (?:Exception occurred processing|Exception occurred within|"
                r"Failed to exec Python script|Exception was raised when).*", r"\1 WSGI0174",
         "the same event by its number, here and below"),
    Rule("log", r"^(wsgi:error) SystemExit exception raised.*", r"\1 WSGI0175", "as above"),
    Rule("log", r"^(wsgi:error) Options ExecCGI is off.*", r"\1 WSGI0134", "as above"),
    Rule("log", r"^(wsgi:error) Target WSGI script not found or unable.*", r"\1 WSGI0135", "as above"),
    Rule("log", r"^(wsgi:error) Attempt to invoke directory.*", r"\1 WSGI0136", "as above"),
    Rule("log", r"^(wsgi:error) AcceptPathInfo off.*", r"\1 WSGI0137", "as above"),
    Rule("log", r"^(wsgi:error) Unexpected value for Transfer-Encoding.*", r"\1 WSGI0138",
         "as above"),
    Rule("log", r"^(wsgi:error) Received request requiring chunked.*", r"\1 WSGI0139", "as above"),
    Rule("log", r"^(wsgi:error) Target WSGI script .* does not contain.*", r"\1 WSGI0089",
         "as above"),
    Rule("log", r"^(wsgi:error) Daemon process called .* not a member.*", r"\1 WSGI0149", "as above"),
    Rule("log", r"^(wsgi:error) Truncated or oversized response.*", r"\1 WSGI0146", "as above"),
    Rule("log", r"^(wsgi:error) Request data read error when proxying.*", r"\1 WSGI0126", "as above"),
    Rule("log", r"^(wsgi:error) .*No WSGI daemon process called.*", r"\1 WSGI0150", "as above"),
]


def apply_rules(item, text):
    item = re.sub(r"^\d+\. ", "", item)
    for rule in RULES:
        text = rule.apply(item, text)
    return text


def items(seen, directory, port):
    return {item: apply_rules(item, without_places(text, directory, port))
            for item, text in seen.items()}


def without_places(text, directory, port):
    """The port only where it is a number of its own, and no part of an address in memory."""
    return re.sub(rf"(?<![0-9a-zA-Z]){port}(?![0-9a-zA-Z])", "PORT",
                  text.replace(str(directory), "ROOT"))


def log(lines, directory, port):
    """A list of lines."""
    return [apply_rules("log", without_places(line, directory, port)) for line in lines
            if not re.search(LEFT_OUT, line)]
