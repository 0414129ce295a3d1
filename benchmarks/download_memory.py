"""How much memory the worker needs to bring a large video from the server to its place.

A server of its own sends a file of the given size, 1 GiB by default, and moto's server stands for S3. Each
measurement is a fresh process that does what an operator does: it proves that the folder can be written, which is
where its idle memory is read, and then fetches, hashes and stores the file. The peak is the kernel's own. The
official client's plain call, which reads the file into memory, is measured beside it. Needs Linux.

    pip install -e '.[amazon]' 'moto[server]'
    python benchmarks/download_memory.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from machine import memory_mib
from report import Report, add_publish_option

MIB = 1024 * 1024
BUCKET = "videos"


def serve_videos(mebibytes: int, pipe: Connection) -> None:
    size = mebibytes * MIB
    head = (24).to_bytes(4, "big") + b"ftypisom" + bytes(12) + (size - 24).to_bytes(4, "big") + b"mdat"
    block = bytes(range(256)) * (MIB // 256)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(head)
            left = size - len(head)
            while left:
                left -= self.wfile.write(block[: min(left, MIB)])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def serve_s3(mebibytes: int, pipe: Connection) -> None:
    import logging

    import boto3  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    logging.disable()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
    pipe.send(port)
    pipe.recv()


@contextmanager
def running(serve: Callable[[int, Connection], None], mebibytes: int) -> Iterator[int]:
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(mebibytes, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


class Body:
    """A streamed answer of the official client, as the package's download takes it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.length: int | None = int(response.headers["content-length"])
        self.media_type: str | None = response.headers["content-type"]

    def chunks(self) -> Iterator[bytes]:
        yield from self._response.iter_bytes(MIB)


def measure_here(way: str, folder: str, url: str) -> dict[str, float]:
    from openai import OpenAI

    from airflow_provider_sora.media.archive import write_sidecar
    from airflow_provider_sora.media.download import fetch
    from airflow_provider_sora.media.storage import check_writable

    client = OpenAI(base_url=url, api_key="unused", max_retries=0)
    videos = client.videos
    target = check_writable(folder) / "clip.mp4"

    @contextmanager
    def open_content() -> Iterator[Body]:
        with videos.with_streaming_response.download_content("video_1") as response:
            yield Body(response)

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle, start = memory_mib(), time.monotonic()
    if way == "plain":
        Path(target.path).write_bytes(videos.download_content("video_1").content)
    else:
        with fetch(open_content, near=target) as spooled:
            spooled.commit(target)
        write_sidecar(target, {"artifact": {"bytes": spooled.bytes, "sha256": spooled.sha256}})
    seconds = time.monotonic() - start
    size = int(target.fs.info(target.path)["size"])
    return {"idle": idle, "peak": memory_mib("VmHWM"), "seconds": seconds, "bytes": size}


def measure(way: str, folder: str, url: str) -> dict[str, float]:
    child = subprocess.run(
        [sys.executable, __file__, "--child", way, folder, url], capture_output=True, text=True, check=False
    )
    if child.returncode != 0:
        sys.exit(f"{way} failed:\n{child.stderr}")
    result: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024, help="size of the file in MiB (default: 1024)")
    add_publish_option(parser)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        sys.exit("this benchmark reads /proc, which only Linux has")
    if arguments.child:
        print(json.dumps(measure_here(*arguments.child)))
        return

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "unused"
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    report = Report("download_memory", "apache-airflow", "openai", "s3fs")
    report.line(f"A file of {arguments.mib:,} MiB, from a server on the same machine:\n")
    report.head(["", "idle", "peak", "above idle", "time"])
    with (
        tempfile.TemporaryDirectory() as disk,
        running(serve_videos, arguments.mib) as videos,
        running(serve_s3, arguments.mib) as s3,
    ):
        url = f"http://127.0.0.1:{videos}/v1"
        os.environ["AIRFLOW_CONN_BENCH_S3"] = json.dumps(
            {
                "conn_type": "aws",
                "login": "unused",
                "password": "unused",
                "extra": {"endpoint_url": f"http://127.0.0.1:{s3}", "region_name": "us-east-1"},
            }
        )
        for label, way, folder in (
            ("airflow-provider-sora to a disk", "ours", f"{disk}/ours"),
            ("airflow-provider-sora to S3", "ours", f"s3://bench_s3@{BUCKET}/ours"),
            ("openai, plain call, to a disk", "plain", f"{disk}/plain"),
        ):
            found = measure(way, folder, url)
            if found["bytes"] != arguments.mib * MIB:
                sys.exit(f"{label}: {found['bytes']:,.0f} bytes arrived")
            above = found["peak"] - found["idle"]
            memory = [f"{mib:,.1f} MiB" for mib in (found["idle"], found["peak"], above)]
            report.row([label, *memory, f"{found['seconds']:.1f} s"])
    if arguments.publish:
        report.publish()


if __name__ == "__main__":
    main()
