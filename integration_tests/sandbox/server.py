"""The HTTP side of the sandbox: connections, headers, the request log, how responses are sent."""

from __future__ import annotations

import gzip
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from .api import Call, held, response
from .blueprint import encode
from .clients import OAuthRefused
from .consent import CONSENT_PATH, ConsentRefused
from .control import Control
from .faults import PAGES, RESPONSES, WIRES, Fault, Scene, retry_after_text
from .instance import Instance
from .oauth import Token, parse_form
from .query import parse_parameters
from .reply import HTML, Reply, html_page, not_found, refuse
from .request_log import RequestRecord
from .resources import RESOURCES, UNKNOWN

TOKEN_PATH = "/oauth2/token"
CONTROL_PREFIX = "/_sandbox/"
LOGIN_PATH = "/sessions/new"
_DRIP_PIECES = 20
_SECRET_FIELDS = {"client_secret", "code", "code_verifier", "refresh_token"}


class SandboxServer(ThreadingHTTPServer):
    """Serves one instance on 127.0.0.1."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, sandbox: Instance, port: int) -> None:
        self.sandbox = sandbox
        self.control = Control(sandbox) if sandbox.has_control else None
        self.calls = count()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and remember it, so that closing the sandbox ends it."""
        with self._lock:
            self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server; anything else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End all kept-alive connections and with them their threads."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Handler(BaseHTTPRequestHandler):
    """One connection and its requests, one after another."""

    protocol_version = "HTTP/1.1"
    server_version = "Sandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    server: SandboxServer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep standard error quiet; the request log holds everything."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` of a response, by the sandbox's clock."""
        return super().date_time_string(timestamp or self.server.sandbox.clock().timestamp())

    def _serve(self) -> None:
        started = time.monotonic()
        sandbox = self.server.sandbox
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        control = self.server.control
        if control is not None and path.startswith(CONTROL_PREFIX):
            self._send(control.response(path.removeprefix(CONTROL_PREFIX), body))
            return
        record, token = self._record(path, body, started)
        sandbox.requests.append(record)
        reply = self._rate_limited(record) or self._played(record, token, body)
        self._compress(reply)
        if reply.wire != "drop":
            record.status, record.rows = reply.status, reply.rows
        record.ended = time.monotonic()
        record.bytes = len(reply.body)
        self._send(reply)
        if reply.wire in ("slow_head", "slow_drip"):
            record.ended = time.monotonic()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

    def _record(self, path: str, body: bytes, started: float) -> tuple[RequestRecord, Token | None]:
        """The log entry of this request, free of secrets, and the token it came with."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        authorization = headers.get("authorization", "")
        token = self.server.sandbox.desk.holder(authorization)
        if authorization:
            kind = authorization.partition(" ")[0]
            headers["authorization"] = f"{kind} {token or '<unknown>'}"
        form = parse_form(body) if path == TOKEN_PATH else {}
        for name in _SECRET_FIELDS & form.keys():
            form[name] = "<secret>"
        record = RequestRecord(
            method=self.command,
            path=path,
            resource=self._resource(path),
            owner=_split(path).owner,
            query=dict(parse_parameters(urlsplit(self.path).query)),
            headers=headers,
            form=form,
            token=token.number if token else None,
            scopes=token.scopes if token else frozenset(),
            started=started,
        )
        return record, token

    def _resource(self, path: str) -> str | None:
        if path == TOKEN_PATH:
            return "oauth"
        resource = _split(path).resource
        return resource if resource in self.server.sandbox.tables else None

    def _rate_limited(self, record: RequestRecord) -> Reply | None:
        """The refusal of a request beyond the rate limit, None for one within it."""
        sandbox, dialect = self.server.sandbox, self.server.sandbox.dialect
        if record.resource == "oauth" and sandbox.token_bucket.take(dialect.token_limit) > 0.0:
            denied = {"error": "access_denied", "error_description": "Too many token requests"}
            return refuse(dialect.too_many_tokens, denied["error_description"], body=denied)
        if record.resource is None or (
            record.resource == "oauth" and not dialect.counts_token_requests
        ):
            return None
        wait = sandbox.bucket.take(dialect.rate_limit)
        if wait <= 0.0:
            return None
        reply = refuse(dialect.rate_limited, "Too many requests")
        if dialect.retry_after is not None:
            value = "date" if dialect.retry_after == "date" else 1
            reply.headers["Retry-After"] = retry_after_text(value, sandbox.clock(), ahead=wait)
        return reply

    def _played(self, record: RequestRecord, token: Token | None, body: bytes) -> Reply:
        """The response, with faults and latency."""
        sandbox = self.server.sandbox
        ids = cache(lambda: held(self._call(record, token)) if _is_list(record) else ())
        wait, fault = sandbox.faults.draw(record, ids)
        if wait:
            record.fault = "latency"
        if wait + sandbox.latency > 0:
            time.sleep(wait + sandbox.latency)
        if _is_list(record):
            sandbox.call_back(record)
        if fault is None:
            return self._real(record, token, body)
        record.fault = fault.kind
        return self._faulty(fault, record, token, body)

    def _faulty(
        self, fault: Fault, record: RequestRecord, token: Token | None, body: bytes
    ) -> Reply:
        if fault.kind in RESPONSES:
            scene = Scene(
                target=self.path,
                raw_request=f"{self.requestline}\n{self.headers}{body.decode('utf-8', 'replace')}",
                origin=self.server.sandbox.url,
                real=lambda: self._real(record, token, body),
                now=self.server.sandbox.clock(),
            )
            reply = RESPONSES[fault.kind](fault, scene)
        elif fault.kind in PAGES:
            reply = self._real(record, token, body, page_fault=fault.kind)
        else:
            reply = self._real(record, token, body)
            reply.wire, reply.seconds = WIRES[fault.kind], fault.seconds
        reply.headers.update(fault.headers)
        return reply

    def _real(
        self,
        record: RequestRecord,
        token: Token | None,
        body: bytes,
        *,
        page_fault: str | None = None,
    ) -> Reply:
        """What Coupa responds."""
        if record.resource == "oauth":
            return self._token(record, body) if self.command == "POST" else not_found()
        if record.path == CONSENT_PATH:
            return self._consent(record)
        if record.path == LOGIN_PATH:
            return Reply(200, html_page("Sign in"), HTML)
        if record.resource is None:
            return not_found(as_xml="application/json" not in self.headers.get("Accept", ""))
        if self.command != "GET":
            return Reply(405, b"", None, {"Allow": "GET"})
        return response(self._call(record, token, page_fault=page_fault))

    def _call(
        self, record: RequestRecord, token: Token | None, *, page_fault: str | None = None
    ) -> Call:
        sandbox = self.server.sandbox
        assert record.resource is not None
        return Call(
            table=sandbox.tables[record.resource],
            id=_split(record.path).id,
            owner=record.owner,
            query=urlsplit(self.path).query,
            accept=self.headers.get("Accept", ""),
            token=token,
            dialect=sandbox.dialect,
            number=next(self.server.calls),
            page_fault=page_fault,
        )

    def _token(self, record: RequestRecord, body: bytes) -> Reply:
        sandbox = self.server.sandbox
        try:
            response_body, token = sandbox.desk.issue(
                body=body,
                content_type=self.headers.get("Content-Type", ""),
                authorization=self.headers.get("Authorization", ""),
                dialect=sandbox.dialect,
            )
        except OAuthRefused as error:
            return refuse(error.refusal, str(error), body=error.body)
        record.token, record.scopes = token.number, token.scopes
        return Reply(200, encode(response_body))

    def _consent(self, record: RequestRecord) -> Reply:
        try:
            target = self.server.sandbox.desk.sign_ins.consent(record.query)
        except ConsentRefused:
            return Reply(400, html_page("This client is not known"), HTML)
        return Reply(302, b"", None, {"Location": target})

    def _compress(self, reply: Reply) -> None:
        """Pack the body if the dialect does and the client takes it."""
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if self.server.sandbox.dialect.compression == "gzip" and accepted and reply.body:
            reply.body = gzip.compress(reply.body, compresslevel=1)
            reply.headers["Content-Encoding"] = "gzip"

    def _send(self, reply: Reply) -> None:
        if reply.wire == "drop":
            self.close_connection = True
            return
        self.send_response(reply.status)
        if reply.content_type is not None:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.wire == "drop_midway":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.wire == "slow_head":
            self.flush_headers()
            self._drip(b"X-Slow: " + b"." * _DRIP_PIECES, reply.seconds)
            self.wfile.write(b"\r\n")
        self.end_headers()
        half = reply.body[: len(reply.body) // 2]
        if reply.wire in ("whole", "slow_head"):
            self.wfile.write(b"" if self.command == "HEAD" else reply.body)
        elif reply.wire == "truncated":
            self.wfile.write(half)
            self.close_connection = True
        elif reply.wire == "drop_midway":
            self.wfile.write(b"%x\r\n%s" % (len(reply.body), half))
            self.close_connection = True
        elif reply.wire == "slow_drip":
            self._drip(reply.body, reply.seconds)

    def _drip(self, content: bytes, seconds: float) -> None:
        step = max(1, -(-len(content) // _DRIP_PIECES))
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            self.wfile.flush()
            time.sleep(seconds / _DRIP_PIECES)


def _is_list(record: RequestRecord) -> bool:
    return record.resource not in (None, "oauth")


@dataclass(frozen=True)
class _Address:
    """What a path names: a list or, with an id, one of its records; `owner` is the id of the record
    below which the list is."""

    resource: str | None
    id: str | None = None
    owner: int | None = None


def _split(path: str) -> _Address:
    """Reads `/api/<resource>[/<id>]`, where the resource may have slashes in its name, and
    `/api/<resource>/<id>/<resource>[/<id>]`."""
    if not path.startswith("/api/"):
        return _Address(None)
    rest = path.removeprefix("/api/").rstrip("/")
    head, _, tail = rest.rpartition("/")
    rest, id = (head, tail) if head and tail.isdigit() else (rest, None)
    nested = re.fullmatch(r"(.+)/(\d+)/(.+)", rest)
    if nested is None or rest in UNKNOWN:
        return _Address(rest, id)
    return _Address(_NESTED.get((nested[1], nested[3])), id, int(nested[2]))


_NESTED = {
    (resource.parent, resource.path.rpartition("/")[2]): path
    for path, resource in RESOURCES.items()
    if resource.parent is not None
}
