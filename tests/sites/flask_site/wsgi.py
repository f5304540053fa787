"""The script that httpd serves: Flask's application under the name that WSGI expects."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

from site_views import app as application  # noqa: E402,F401 - the path must be set before
