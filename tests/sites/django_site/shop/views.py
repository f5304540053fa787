import hashlib
import os
import time

from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from shop.models import Item


def index(request):
    return render(request, "index.html", {"items": Item.objects.order_by("id"),
                                          "scheme": request.scheme})


def counter(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def items(request):
    """A form with CSRF protection."""
    if request.method == "POST":
        Item.objects.create(name=request.POST["name"])
        return redirect("..")
    return render(request, "items.html")


def upload(request):
    if request.method == "GET":
        return render(request, "items.html")
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    is_temporary = hasattr(file, "temporary_file_path")  # beyond 2.5 MiB, as Django has it
    return JsonResponse({
        "name": file.name, "size": file.size, "sha256": digest.hexdigest(),
        "note": request.POST["note"],
        "on disk": os.path.getsize(file.temporary_file_path()) if is_temporary else None})


def stream(request):
    return StreamingHttpResponse(f"row {number}\n" for number in range(1000))


def live(request):
    """The second line is made when the file exists that the client makes for the first."""
    def lines():
        yield "first\n"
        deadline = time.monotonic() + 60
        while not os.path.exists(request.GET["wait"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield "second\n"
    return StreamingHttpResponse(lines())


def download(request):
    """Through wsgi.file_wrapper."""
    return FileResponse(open(__file__, "rb"), as_attachment=True)


def error(request):
    raise ZeroDivisionError("on purpose")


def go(request):
    return redirect("/elsewhere")
