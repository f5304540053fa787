"""The script that httpd serves. The site's directory comes onto sys.path by the configuration
(python-path= or WSGIPythonPath)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
application = get_wsgi_application()
