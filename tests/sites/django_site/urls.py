from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.index),
    path("counter", views.counter),
    path("items", views.items),
    path("upload", views.upload),
    path("stream", views.stream),
    path("live", views.live),
    path("download", views.download),
    path("error", views.error),
    path("go", views.go),
]
