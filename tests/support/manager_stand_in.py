"""A Manager.io business on a port of this machine, made from the notes on its interface alone."""

import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "changeme-manager-canary"
LISTS = {
    "journal-entry-form": "journal-entries", "receipt-form": "receipts", "payment-form": "payments",
    "inter-account-transfer-form": "inter-account-transfers",
}  # fmt: skip


class ManagerStandIn:
    """`script` says how the coming posts are answered; when it is used up, as they should be.

    `lose`: kept, and the connection is cut. `drop`: cut before it is kept. `error`: 500, not kept. `late`: 500, and
    kept all the same. `busy`: 429. `hang`: no answer until the end.
    """

    def __init__(self):
        self.kept: dict[str, list[dict[str, object]]] = {name: [] for name in LISTS.values()}
        self.script: list[str] = []
        self.reads_that_fail = 0
        self.forget_references = False
        self.on_post = lambda: None
        self.over = threading.Event()
        self._lock = threading.Lock()
        business = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                business.serve(self, b"")

            def do_POST(self):
                business.serve(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/api2"

    def forms(self):
        """Return (form, body) of all that was kept."""
        by_list = {name: form for form, name in LISTS.items()}
        return [(by_list[name], body) for name, bodies in self.kept.items() for body in bodies]

    def references(self):
        return [body["Reference"] for _, body in self.forms()]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, request, content):
        path = urlsplit(request.path)
        name = path.path.removeprefix("/api2/")
        if request.headers["X-API-KEY"] != KEY:
            self.answer(request, 401, {"error": f"no such token {request.headers['X-API-KEY']}"})
        elif request.command == "GET":
            self.listed(request, name, {key: values[0] for key, values in parse_qs(path.query).items()})
        else:
            self.posted(request, name, json.loads(content, parse_float=Decimal, parse_int=Decimal))

    def listed(self, request, name, query):
        if self.reads_that_fail:
            self.reads_that_fail -= 1
            self.answer(request, 503, {})
            return
        with self._lock:
            found = list(self.kept[name])
        start = int(query["skip"])
        rows = [{"key": "k", "reference": body["Reference"]} for body in found[start : start + int(query["pageSize"])]]
        if self.forget_references:
            rows = [{"key": row["key"]} for row in rows]
        self.answer(request, 200, {name.replace("-", "_"): rows, "totalRecords": len(found)})

    def posted(self, request, form, body):
        with self._lock:
            how = self.script.pop(0) if self.script else "keep"
            if how in {"keep", "lose", "late"}:
                self.kept[LISTS[form]].append(body)
        self.on_post()
        if how == "hang":
            self.over.wait(30)
        if how in {"lose", "drop", "hang"}:
            request.close_connection = True
            return
        status = {"keep": 201, "error": 500, "late": 500, "busy": 429}[how]
        self.answer(request, status, {"Key": "k"} if status == 201 else {"error": "something"})

    def answer(self, request, status, body):
        data = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)
