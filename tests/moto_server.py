"""A private S3 for one test session: moto's server on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"


class MotoS3:
    """
    An object store that keeps its objects in memory, between ``__enter__`` and ``__exit__``.

    :param conn_id: the Airflow connection whose definition is in :attr:`env`.
    """

    def __init__(self, *, conn_id: str = "aws_default") -> None:
        self.conn_id = conn_id
        self.base_url = ""
        self._server: ThreadedMotoServer | None = None

    def __enter__(self) -> MotoS3:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.base_url = f"http://{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def env(self) -> dict[str, str]:
        """Environment in which Airflow and boto reach this server, and never the real one."""
        connection = {
            "conn_type": "aws",
            "login": KEY,
            "password": SECRET,
            "extra": {"endpoint_url": self.base_url, "region_name": REGION},
        }
        return {
            f"AIRFLOW_CONN_{self.conn_id.upper()}": json.dumps(connection),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.base_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client(self) -> Any:
        """A client of boto3, to look at what is really there."""
        return boto3.client(
            "s3",
            endpoint_url=self.base_url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )

    @contextmanager
    def enforcing_rights(self) -> Iterator[None]:
        """Refuse every call of an account that was not given the right to it, as S3 does."""
        self._control("reset-auth", "0")
        try:
            yield
        finally:
            self._control("reset-auth", "inf")

    def create_bucket(self, name: str) -> str:
        """
        Make a bucket.

        :param name: its name, as S3 allows it.
        :return: its URL for Airflow, with the connection in it.
        """
        self.client.create_bucket(Bucket=name)
        return f"s3://{self.conn_id}@{name}"

    def keys(self, bucket: str) -> list[str]:
        """
        Return the names of all objects of a bucket.

        :param bucket: its name.
        """
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def _control(self, command: str, value: str) -> None:
        # As text: urllib's own choice is a form, which the server would take apart.
        request = Request(
            f"{self.base_url}/moto-api/{command}", data=value.encode(), headers={"Content-Type": "text/plain"}
        )
        with urlopen(request, timeout=10) as response:
            response.read()
