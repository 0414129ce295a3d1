"""Pages of rollouts: all of them, one of them, and the buttons that pause, resume or roll one back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.rollouts import by_hand, wording
from airflow_provider_sora.rollouts.by_hand import Button, Press
from airflow_provider_sora.rollouts.ledger import Entry, Event, State
from airflow_provider_sora.ui import ledgers
from airflow_provider_sora.ui.access import (
    MayWriteAssets,
    ReadableAssets,
    ReadableDags,
    has_right_to_asset,
    reads_assets,
    require_asset,
    writes_assets,
)
from airflow_provider_sora.ui.ledgers import Stored
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.rollout_view import overview, page_of

log = logging.getLogger(__name__)

LONGEST_REASON: Final = 1000

router = APIRouter()


@router.get("/rollouts", dependencies=[reads_assets])
def rollouts(request: Request, session: SessionDep, readable: ReadableDags, may_read: ReadableAssets) -> HTMLResponse:
    """Every rollout."""
    found = ledgers.all_rollouts(session, readable, may_read=may_read)
    rows = overview(found.known, now=datetime.now(UTC))
    return page(request, "rollouts.html", rows=rows, is_whole=found.is_whole, most=ledgers.MOST_ROLLOUTS)


@router.get("/rollouts/{name}", dependencies=[reads_assets])
def rollout(
    request: Request,
    name: str,
    session: SessionDep,
    readable: ReadableDags,
    user: GetUserDep,
    may_write: MayWriteAssets,
    run: str | None = None,
    before: int | None = None,
) -> HTMLResponse:
    """One rollout.

    :param run: id of a run through its plan, None for the latest.
    :param before: number of an event, None to begin with the latest one.
    """
    stored = ledgers.one_rollout(session, name, readable)
    if stored is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, _unknown(name))
    require_asset(user, stored.asset_id, method="GET")
    shown = page_of(stored.known, run=run, before=before, now=datetime.now(UTC))
    return page(
        request,
        "rollout.html",
        shown=shown,
        asset_id=stored.asset_id,
        may_write=may_write and has_right_to_asset(user, stored.asset_id, method="POST"),
        longest_reason=LONGEST_REASON,
    )


class _Told(APIRoute):
    """Answers a script with a message, also where a dependency refuses: the app's own answer is a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                fields = ", ".join(str(each["loc"][-1]) for each in error.errors())
                return _answer(f"Nothing was written. What was sent cannot be read: {fields}.", 422)
            except HTTPException as error:
                return _answer(str(error.detail), error.status_code)

        return told


_actions = APIRouter(route_class=_Told)


class Action(BaseModel):
    """What a button sends.

    :param action: what to do.
    :param reason: why.
    :param rollout_id: of the run through the plan that the page showed.
    :param generation: of the state that it showed.
    """

    action: Button
    reason: str = Field(max_length=LONGEST_REASON)
    rollout_id: str = Field(min_length=1, max_length=250, pattern=r"^[^\x00-\x1f\x7f]+$")
    generation: int

    def by(self, user: str) -> Press:
        """The button as a user pressed it.

        :param user: the name of the user.
        """
        # A line in a log and in a terminal stays one line, and PostgreSQL reads no zero byte.
        reason = "".join(each if each.isprintable() else " " for each in self.reason).strip()
        return Press(
            action=self.action, reason=reason, rollout_id=self.rollout_id, generation=self.generation, user=user
        )


def _may_mark(user: GetUserDep) -> bool:
    """Whether the user may edit assets, of which the marks beside the events are a part."""
    return get_auth_manager().is_authorized_asset(method="PUT", user=user)


def _teams(user: GetUserDep) -> set[str]:
    return get_auth_manager().get_authorized_teams(user=user) if conf.getboolean("core", "multi_team") else set()


@_actions.post("/rollouts/{name}/actions", dependencies=writes_assets("sora.rollout"))
def act(
    name: str,
    action: Action,
    session: SessionDep,
    user: GetUserDep,
    readable: ReadableDags,
    may_mark: Annotated[bool, Depends(_may_mark)],
    teams: Annotated[set[str], Depends(_teams)],
) -> JSONResponse:
    """Pause, resume or roll back."""
    stored = ledgers.one_rollout(session, name, readable)
    if stored is None:
        return _answer(_unknown(name), status.HTTP_404_NOT_FOUND)
    require_asset(user, stored.asset_id, method="POST")
    try:
        press = action.by(user.get_name())
        entry = by_hand.pressed(stored.known, press, now=datetime.now(UTC))
        if isinstance(entry, State):
            told = by_hand.already(entry, says=wording.stands)
        else:
            told = _written(session, stored, entry, readable, may_mark=may_mark, teams=teams)
    except SoraError as error:
        return _answer(str(error), status.HTTP_409_CONFLICT)
    return _answer(". ".join(told), status.HTTP_200_OK)


def _written(
    session: SessionDep, stored: Stored, entry: Entry, readable: set[str], *, may_mark: bool, teams: set[str]
) -> tuple[str, ...]:
    """Write an entry, and tell what it came to.

    :raises SoraError: it was not written, or counts for nothing.
    """
    event = ledgers.add_event(session, stored.asset_id, entry.to_dict(), teams=teams)
    known = ledgers.read(session, stored.asset_id, stored.known.name, readable)
    warnings = _marked(session, Stored(asset_id=stored.asset_id, known=known), entry, event, may_mark=may_mark)
    told = by_hand.outcome(known, event, entry.transition, entry.rollout_id, says=wording.stands)
    return (*told, *warnings)


def _marked(session: SessionDep, after: Stored, entry: Entry, event: Event, *, may_mark: bool) -> tuple[str, ...]:
    """Note the end of a rollout beside its events too, and tell where that cannot be done."""
    marks = by_hand.marks_with(after.known, entry, event)
    if marks is None:
        return ()
    if not may_mark:
        return (by_hand.not_marked(entry, event, "You may not edit assets."),)
    try:
        ledgers.keep_marks(session, after.asset_id, marks)
    except Exception as error:
        session.rollback()
        log.exception("The marks of the rollout %s could not be kept", after.known.name)
        return (by_hand.not_marked(entry, event, f"{type(error).__name__}, see the log of the API server."),)
    return ()


def _answer(message: str, code: int) -> JSONResponse:
    return JSONResponse({"message": message}, status_code=code)


def _unknown(name: str) -> str:
    return f"There is no rollout {name!r} in this Airflow."


router.include_router(_actions)
