"""Reads src/core/messages.def, for check-messages and gen-docs.

SPDX-License-Identifier: Apache-2.0
"""

import re
from collections import namedtuple

import tree

Message = namedtuple("Message", "number level cause remedy section line")

STRING = r'((?:"(?:\\.|[^"\\])*"\s*)+)'
ENTRY = re.compile(rf"WSGI_MESSAGE\(\s*(\d+),\s*(\w+),\s*{STRING},\s*{STRING}\)"
                   r"|^/\* ([^\n*]+) \*/$", re.MULTILINE)


def _join(literals):
    return "".join(re.findall(r'"((?:\\.|[^"\\])*)"', literals)).replace('\\"', '"')


def read(path):
    """All messages in the order of the file; a comment of one line opens a section."""
    text, section, result = path.read_text(), "", []
    for match in ENTRY.finditer(text):
        number, level, cause, remedy, heading = match.groups()
        if heading:
            section = heading.strip()
        else:
            result.append(Message(int(number), level, _join(cause), _join(remedy), section,
                                  tree.line_of(text, match.start())))
    return result
