"""Routes beside the API: statistics, and the arming of faults."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_sora.emulator.errors import ApiError
from airflow_provider_sora.emulator.faults import parse_faults
from airflow_provider_sora.emulator.library import Library
from airflow_provider_sora.emulator.service import Service

CONTROL_PREFIX = "/_emulator"


class Control:
    """Handlers of ``/_emulator``.

    :param service: the emulator.
    :param library: its files.
    :param requests: requests by name of the route.
    :param answers: answers by HTTP status; ``none`` counts those that a fault swallowed.
    """

    def __init__(self, service: Service, library: Library, *, requests: Counter[str], answers: Counter[str]) -> None:
        self._service = service
        self._library = library
        self._requests = requests
        self._answers = answers

    def routes(self) -> list[Route]:
        """The routes; those of faults only where faults are allowed."""
        routes = [Route(f"{CONTROL_PREFIX}/stats", self.stats)]
        if self._service.settings.faults:
            routes.append(Route(f"{CONTROL_PREFIX}/faults", self.faults, methods=["GET", "POST", "DELETE"]))
        return routes

    async def stats(self, request: Request) -> Response:
        """``GET /_emulator/stats``."""
        service = self._service
        store = service.store
        states = Counter(service.state(job).status for job in store.jobs.values())
        removals = Counter(store.removals.values())
        return JSONResponse(
            {
                "requests": dict(self._requests),
                "answers": dict(self._answers),
                "jobs": {
                    "created": len(store.jobs) + len(store.removals),
                    "running": states["queued"] + states["in_progress"],
                    "completed": states["completed"],
                    "failed": states["failed"],
                    "deleted": removals["deleted"],
                    "cancelled": removals["cancelled"],
                    "lost": removals["lost"],
                },
                "cameos": len(store.cameos),
                "characters": len(store.characters),
                "replays": service.keys.replays,
                "files_rendered": self._library.rendered,
                "faults_fired": dict(service.faults.fired),
            }
        )

    async def faults(self, request: Request) -> Response:
        """``GET``, ``POST`` (adds) and ``DELETE`` (disarms all) of ``/_emulator/faults``."""
        board = self._service.faults
        if request.method == "DELETE":
            board.armed = []
        elif request.method == "POST":
            for fault in parse_faults(await _json(request)):
                if fault.kind == "lose_jobs":
                    self._service.lose(fault.video_ids)
                    board.fired[fault.kind] = board.fired.get(fault.kind, 0) + 1
                else:
                    board.armed.append(fault)
        return JSONResponse({"armed": [fault.to_dict() for fault in board.armed]})


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}.") from error
