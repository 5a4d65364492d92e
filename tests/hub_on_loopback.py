"""As much of the Hub as loading a model asks for, over HTTP on loopback: repositories with revisions."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

Repositories = dict[str, dict[str, Path]]


def commit(repository: str, revision: str) -> str:
    return hashlib.sha1(f"{repository} {revision}".encode()).hexdigest()


@contextmanager
def hub(repositories: Repositories) -> Iterator[str]:
    """The address of a Hub with these repositories: name -> revision -> folder."""

    class Answers(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def give(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path).strip("/").split("/")
            asks = path[:2] == ["api", "models"]
            path = path[2:] if asks else path
            name, rest = "/".join(path[:2]), path[2:]
            wanted = rest[1] if len(rest) > 1 else "main"
            revisions = repositories.get(name)
            if revisions is None:
                return self.give(404, X_Error_Code="RepoNotFound")
            found = next((r for r in revisions if wanted in (r, commit(name, r))), None)
            if found is None:
                return self.give(404, X_Error_Code="RevisionNotFound")
            here = {"X_Repo_Commit": commit(name, found)}
            if asks:
                files = list(revisions[found].iterdir())
                listed = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40} for f in files]
                known = {"id": name, "sha": commit(name, found), "siblings": [{"rfilename": f.name} for f in files]}
                return self.give(200, json.dumps(listed if rest[:1] == ["tree"] else known).encode(), **here)
            file = revisions[found] / "/".join(rest[2:])
            if not file.is_file():
                return self.give(404, X_Error_Code="EntryNotFound", **here)
            content = file.read_bytes()
            return self.give(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', **here)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
