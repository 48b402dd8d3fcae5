"""A private nginx in front of a service, with the shipped snippet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from processes import eventually
from requirements import required_program
from server_process import ServerProcess, free_port

HOST = "127.0.0.1"
UPSTREAM = "127.0.0.1:8000"

_CONFIG = """
{user}
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        include {snippet};
    }}
}}
"""


class Nginx(ServerProcess):
    """nginx with one server block that holds a snippet, whose upstream is replaced by `upstream`, and nothing else."""

    def __init__(self, folder: Path, snippet: str, upstream: str) -> None:
        super().__init__()
        self._folder = folder
        self.port = free_port(HOST)
        self.url = f"http://{HOST}:{self.port}"
        assert UPSTREAM in snippet
        (folder / "snippet.conf").write_text(snippet.replace(UPSTREAM, upstream))
        user = "user root;" if os.geteuid() == 0 else ""
        config = _CONFIG.format(user=user, folder=folder, host=HOST, port=self.port, snippet=folder / "snippet.conf")
        (folder / "nginx.conf").write_text(config)

    def __enter__(self) -> Self:
        path = self._folder / "nginx.conf"
        self._process = subprocess.Popen([required_program("nginx"), "-p", str(self._folder), "-c", str(path)])
        try:
            eventually(self._is_listening)
        except BaseException:
            self.__exit__()
            raise
        return self

    def kill(self) -> None:
        """End it with its workers."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self._process = None

    def _is_listening(self) -> bool:
        assert self.process.poll() is None, "nginx does not start"
        with socket.socket() as connection:
            return connection.connect_ex((HOST, self.port)) == 0
