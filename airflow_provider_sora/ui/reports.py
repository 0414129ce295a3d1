"""The report of a comparison: the one file that its task wrote, shown as a page that can do nothing.

A report holds what others wrote, prompts and a server's errors. Its own policy forbids scripts and addresses, and here
it has no origin of its own beyond that: whatever stands in it acts for nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from airflow_provider_sora.exceptions import OutputPathUnavailableError
from airflow_provider_sora.reports.names import report_name, thumbnails_name
from airflow_provider_sora.ui.access import reads_dag
from airflow_provider_sora.ui.content import Returned
from airflow_provider_sora.ui.ranges import etag_of, is_known
from airflow_provider_sora.ui.reading import Patience, in_reader
from airflow_provider_sora.ui.stored_files import check_address, open_stored, refusal, told

router = APIRouter(dependencies=[reads_dag])

#: Bytes of a report: more than twice what one has unless its author wants more pictures.
_LARGEST: Final = 64 * 1024 * 1024

_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")

#: Nothing but what the file holds. Its links are followed as those of our pages are, so it keeps their origin; scripts,
#: forms and popups stay forbidden.
_POLICY: Final = (
    "sandbox allow-same-origin; default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@router.get("/reports/{dag_id}/{run_id}/{task_id}/{map_index}")
async def report(request: Request, returned: Returned, blind: Annotated[bool, Query()] = False) -> Response:
    """The report of a comparison, or the one that names no side."""
    name = report_name(**returned.task._asdict(), blind=blind)
    address, sha256 = _named(returned.value, key="blind_report" if blind else "report", name=name)
    return await _shown(request, address, sha256, media_type="text/html; charset=utf-8")


@router.get("/reports/{dag_id}/{run_id}/{task_id}/{map_index}/thumbnails")
async def thumbnails(request: Request, returned: Returned) -> Response:
    """The picture of the first pairs of the blind report, for the form that asks for marks."""
    name = thumbnails_name(**returned.task._asdict())
    address, sha256 = _named(returned.value, key="thumbnails", name=name)
    return await _shown(request, address, sha256, media_type="image/jpeg")


async def _shown(request: Request, address: str, sha256: str, *, media_type: str) -> Response:
    try:
        content = await in_reader(Patience().call, address, partial(_read, address, sha256))
    except OutputPathUnavailableError as late:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(late)) from None
    etag = etag_of(sha256)
    headers = {"Content-Security-Policy": _POLICY, "ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request.headers.get("if-none-match"), etag=etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _named(value: object, *, key: str, name: str) -> tuple[str, str]:
    """Where a task says its report is, and what it is.

    Whoever may write an XCom may name any file there. The name that counts is the one that only this task instance
    gives.
    """
    output = value if isinstance(value, Mapping) else {}
    address, sha256 = output.get(key), output.get(f"{key}_sha256")
    if not (isinstance(address, str) and isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "The output of this task names no report: it compared no snapshots."
        )
    if address.rpartition("/")[2] != name:
        raise refusal("it is not the report that this task writes")
    with told():
        check_address(address)
    return address, sha256


def _read(address: str, sha256: str) -> bytes:
    with closing(open_stored(address)) as file, told():
        if file.size > _LARGEST:
            raise refusal(f"it is larger than {_LARGEST >> 20} MiB")
        content = file.read(0, file.size)
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != sha256:
        raise refusal("it is not the report that its task wrote: it was changed since")
    return content
