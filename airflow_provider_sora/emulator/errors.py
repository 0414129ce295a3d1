"""Errors in the shape of the OpenAI API: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TYPES_BY_STATUS = {
    401: "authentication_error",
    404: "not_found_error",
    410: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that is answered with an error.

    :param status: HTTP status code.
    :param code: machine-readable reason, for example ``invalid_value``.
    :param message: what is wrong and what to do about it, for the person who sent the request.
    :param param: the request parameter that is at fault, with a path for nested ones
        (``storyboard.scenes[1].start``). Default None.
    :param headers: headers to send with the answer, for example ``Retry-After``. Default none.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return error_body(self.status, self.code, self.message, param=self.param)


def error_body(status: int, code: str, message: str, *, param: str | None = None) -> dict[str, Any]:
    """Build an error answer.

    :param status: HTTP status code; decides the ``type`` (``server_error`` from 500 on).
    :param code: machine-readable reason.
    :param message: text for people.
    :param param: request parameter at fault. Default None.
    :return: the JSON body.
    """
    kind = "server_error" if status >= 500 else _TYPES_BY_STATUS.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_value(param: str, message: str) -> ApiError:
    """A 400 for a parameter whose value cannot be used."""
    return ApiError(400, "invalid_value", message, param=param)


def missing_parameter(param: str) -> ApiError:
    """A 400 for a parameter that the route cannot do without."""
    return ApiError(400, "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param)


def video_not_found(video_id: str, *, param: str = "video_id") -> ApiError:
    """A 404 for an id that no job has."""
    return ApiError(404, "video_not_found", f"No video with id '{video_id}' exists.", param=param)


def cameo_not_found(cameo_id: str, *, status: int = 404, param: str = "cameo_id") -> ApiError:
    """An error for an id that no cameo has: 404 when it was asked for, 400 when a create named it."""
    return ApiError(
        status,
        "cameo_not_found",
        f"No cameo with id '{cameo_id}' exists. Create one with POST /v1/videos/cameos and use its id.",
        param=param,
    )


def character_not_found(character_id: str, *, status: int = 404, param: str = "character_id") -> ApiError:
    """An error for an id that no character has: 404 when it was asked for, 400 when a create named it."""
    return ApiError(
        status,
        "character_not_found",
        f"No character with id '{character_id}' exists. Create one with POST /v1/videos/characters and use its id.",
        param=param,
    )
