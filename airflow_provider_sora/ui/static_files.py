"""The pages' own style, script and pictures."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, HTTPException, status
from fastapi.responses import Response

from airflow_provider_sora.ui.access import logged_in

router = APIRouter(dependencies=[logged_in])

_TYPES: Final = {
    "icon.svg": "image/svg+xml",
    "sora.css": "text/css",
    "sora.js": "text/javascript",
}


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """One of a fixed set of files."""
    if name not in _TYPES:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
    data = files(__package__).joinpath("static", name).read_bytes()
    return Response(data, media_type=_TYPES[name], headers={"Cache-Control": "private, max-age=3600"})
