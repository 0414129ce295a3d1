"""Players that ask the pages for clips, and what tasks left for them."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from airflow.sdk import ObjectStoragePath
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows, manifest_name, result
from moto_server import MotoS3

from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.media.manifests import write_manifest
from airflow_provider_sora.media.storage import folder_at

GIB = 1 << 30


def described(path: Path, *, uri: str | None = None) -> dict[str, Any]:
    """What a task says of a file that it made."""
    content = path.read_bytes()
    return {
        "uri": uri or f"file://{path}",
        "bytes": len(content),
        "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "media_type": "video/mp4",
        "duration": 1.0,
    }


def kept(path: Path, **changes: Any) -> dict[str, Any]:
    """The output of a task that made a file, which is also the sidecar beside it."""
    output = result(artifact=described(path)) | changes
    write_sidecar(folder_at(str(path)), output)
    return output


def holders(path: Path) -> int:
    """How often a file is open on this machine."""
    count = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            count += link.readlink() == path
        except OSError:
            continue
    return count


class Player:
    """What asks for clips.

    :param pages: the API server.
    :param rows: writes what tasks would have left.
    """

    def __init__(self, pages: AirflowStack, rows: MetadataRows) -> None:
        self.pages = pages
        self._rows = rows

    def path_of(self, *outputs: dict[str, Any] | None, index: int = -1) -> str:
        """The path of a task instance that a new task left."""
        dag_id = self._rows.dag()
        run = self._rows.runs(dag_id)[0]
        self._rows.tasks(dag_id, run, [output and {"version": None, **output} for output in outputs])
        return f"/sora/content/{dag_id}/{run[1]}/render/{index}"

    def batch(self, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[str, ObjectStoragePath]:
        """The path of a batch, and the manifest that it left in a folder."""
        dag_id = self._rows.dag()
        run = self._rows.runs(dag_id)[0]
        manifest = folder_at(str(folder)) / manifest_name(dag_id, run, "render")
        write_manifest(manifest, (json.dumps(entry).encode() for entry in entries))
        self._rows.tasks(dag_id, run, [{"version": None, "manifest": str(manifest)}])
        return f"/sora/content/{dag_id}/{run[1]}/render/-1", manifest

    def video(self, output: dict[str, Any] | None, *, method: str = "GET", **headers: str) -> httpx.Response:
        """Ask for the file of an output."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pages.request(method, f"{self.path_of(output)}/video", headers=named, user="viewer")

    def sidecar(self, output: dict[str, Any] | None) -> httpx.Response:
        """Ask for the sidecar of an output."""
        return self.pages.request("GET", f"{self.path_of(output)}/sidecar", user="viewer")

    def connected(self, path: str) -> socket.socket:
        """A player that has asked for a file, and takes nothing of what comes by itself."""
        address = urlsplit(self.pages.base_url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((address.hostname, address.port))
        token = self.pages.token_of("viewer")
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return connection


def stored(s3: MotoS3, clip: Path, bucket: str, *, conn_id: str = "aws_default") -> dict[str, Any]:
    """The output of a task that put a clip into a bucket."""
    output = result(artifact=described(clip, uri=f"s3://{conn_id}@{bucket}/nights/clip.mp4"))
    s3.client.upload_file(str(clip), bucket, "nights/clip.mp4")
    s3.client.put_object(Bucket=bucket, Key="nights/clip.json", Body=json.dumps(output).encode())
    return output
