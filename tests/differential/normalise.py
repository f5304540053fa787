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


# Applied in this order, after directory and port of the server have become ROOT and PORT.
RULES = [
    Rule("field Date|field Last-Modified", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE",
         "times of the run; fixed ones of a case are written as 1994 and kept"),
    Rule("field Server|environ SERVER_SOFTWARE|body .*", r"mod_wsgi/[\d.]+( Quetzal/\S+)?",
         "mod_wsgi/VERSION", "the module's own version"),
    Rule("environ (mod_wsgi|apache).version", r"\[.*\]", "VERSION",
         "the module's own, and of the httpd that it was built for"),
    Rule("environ .*|body .*|log", r" at 0x[0-9a-f]+", " at ADDRESS", "addresses of objects"),
    Rule("environ REMOTE_PORT", r"\d+", "PORT", "the client's port"),
    Rule("environ mod_wsgi.(server_pid|request_id|connection_id)", r"str .+", "str ID",
         "process and request"),
    Rule("environ mod_wsgi.thread_id", r"\d+", "NUMBER", "which thread served"),
    Rule("environ UNIQUE_ID", r"str .*", "str ID", "the request"),
    Rule("environ mod_wsgi.\\w+_start", r"float [1-9][\d.]+", "float TIME", "the moment"),
    Rule("environ mod_wsgi.\\w+_start", r"str [1-9]\d+", "str TIME", "the moment"),
    Rule("log", r"_mod_wsgi_[0-9a-f]{32}", "_mod_wsgi_MD5", "the name of a script's module"),
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
    return text.replace(str(directory), "ROOT").replace(str(port), "PORT")


def log(lines, directory, port):
    return " / ".join(apply_rules("log", without_places(line, directory, port)) for line in lines)
