"""A Django page: session in a signed cookie, a template with a loop, the usual middleware."""

import django
from django.conf import settings
from django.http import HttpResponse
from django.template import engines
from django.urls import re_path

TEMPLATE = """<!doctype html>
<title>{{ title|escape }}</title>
<p>Visit {{ visits }} of {{ request.path }}</p>
<table>
{% for row in rows %}<tr class="{% cycle 'odd' 'even' %}"><td>{{ row.name }}<td>{{ row.price|floatformat:2 }}
{% endfor %}</table>
"""
ROWS = [{"name": f"article <{number}>", "price": number * 1.1} for number in range(50)]

settings.configure(
    SECRET_KEY="only for the bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.sessions", "django.contrib.messages"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
template = engines["django"].from_string(TEMPLATE)


def view(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(template.render({"title": "A page", "rows": ROWS,
                                         "visits": request.session["visits"]}, request))


urlpatterns = [re_path("", view)]

from django.core.wsgi import get_wsgi_application  # noqa: E402  (after the settings)

application = get_wsgi_application()
