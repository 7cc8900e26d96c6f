"""An instance that is served on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

from .instance import Instance
from .request_log import RequestRecord
from .server import SandboxServer


class Sandbox(Instance):
    """A Coupa instance on this machine.

    Use it as a context manager, or call `start()` and `close()`. Everything public may be changed
    while it serves.
    """

    _server: SandboxServer | None = None

    def before_each(self, callback: Callable[[Sandbox, RequestRecord], None]) -> None:
        """Call `callback(sandbox, request)` before each resource request gets its response."""
        self.callbacks.append(partial(callback, self))

    def start(self) -> Sandbox:
        """Begin to serve, on 127.0.0.1."""
        self._server = SandboxServer(self, self.port)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def close(self) -> None:
        """Stop serving and end all connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.close_connections()
            self._server.server_close()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
