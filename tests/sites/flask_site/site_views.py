"""A small site with templates, a session, uploads and streams."""

import hashlib
import os
import time

from flask import (Flask, abort, jsonify, redirect, render_template, request, send_file, session,
                   stream_with_context, url_for)

app = Flask(__name__)
app.secret_key = "only for tests"
app.config["MAX_CONTENT_LENGTH"] = 4 << 20


class Shortage(Exception):
    """Has an answer of its own."""


@app.route("/")
def index():
    return render_template("index.html", name=request.args.get("name", "nobody"))


@app.route("/counter")
def counter():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.route("/upload", methods=["POST"])
def upload():
    file = request.files["file"]
    data = file.read()
    return jsonify(name=file.filename, size=len(data), sha256=hashlib.sha256(data).hexdigest(),
                   note=request.form["note"])


@app.route("/json", methods=["POST"])
def echo_json():
    return jsonify(request.get_json())


@app.route("/stream")
def stream():
    @stream_with_context
    def rows():
        for number in range(1000):
            yield f"row {number} of {request.args['name']}\n"
    return app.response_class(rows(), mimetype="text/plain")


@app.route("/live")
def live():
    """The second line is made when the file exists that the client makes for the first."""
    @stream_with_context
    def lines():
        yield f"first of {session['count']}\n"
        deadline = time.monotonic() + 60
        while not os.path.exists(request.args["wait"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"second of {session['count']}\n"
    return app.response_class(lines(), mimetype="text/plain")


@app.route("/download")
def download():
    return send_file(__file__, mimetype="text/plain")


@app.route("/gone")
def gone():
    abort(404)


@app.route("/error")
def error():
    raise ZeroDivisionError("on purpose")


@app.route("/go")
def go():
    return redirect(url_for("index", name="redirected"))


@app.route("/order/<item>")
def order(item):
    raise Shortage(item)


@app.errorhandler(Shortage)
def no_more(error):
    return jsonify(missing=str(error)), 409, {"Retry-After": "60"}


@app.errorhandler(404)
def not_found(error):
    return render_template("missing.html", path=request.path), 404
