"""The tables of ``docs/backends.md``: what each backend can do and how it is written to, from the profiles.

``python docs/backends_table.py`` prints them, and with ``--write`` puts them into the page (``make backends``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from generated import replaced, table

from airflow_provider_sora.client.backends import BACKENDS, Backend
from airflow_provider_sora.videos.request import PARAMETERS

PAGE = Path(__file__).with_name("backends.md")

NATIVE, NOT = "native", "–"
SHOWN = "✓"

_BODIES = {"any": "JSON, or a form with a picture", "json": "JSON", "form": "a form"}
_EXTRAS = {
    "body": "beside the others",
    "object": "in `extra_params`, an object",
    "text": "in `extra_params`, as text",
    "refused": NOT,
}
_PICTURES = {"file": "a file", "data_url": "a data URL", "frames": "a data URL"}

#: By backend and row: a test that a server's own code passes, as ``file::name``. A cell without one was read in the
#: server's source or documentation. Nobody can test OpenAI's own service any more.
SHOWN_BY: Mapping[str, Mapping[str, str]] = {
    "sora": {
        "generate": "emulator/test_api.py::test_it_is_queued_then_rendered_then_downloaded",
        "list": "emulator/test_api.py::test_pages_follow_one_another",
        "delete": "emulator/test_api.py::test_a_deleted_job_is_gone",
        "cancel": "emulator/test_api.py::test_a_running_job_is_cancelled",
        "idempotency": "emulator/test_api.py::test_concurrent_duplicates_make_one_job",
        "picture": "emulator/test_sdk.py::test_create_uploads_a_reference_image",
        "size": "emulator/test_sdk.py::test_create_starts_a_job_on_the_snapshot_behind_the_alias",
        "seed": "emulator/test_resources.py::test_equal_requests_on_one_snapshot_have_equal_files",
        "storyboard": "emulator/test_sdk.py::test_create_sends_nested_fields_where_json_is_asked_for",
        "cameos": "emulator/test_resources.py::test_one_is_made_of_a_name_and_images_and_used_by_its_id",
        "remix": "emulator/test_sdk.py::test_remix_makes_another_video_from_one",
    },
    "vllm-omni": {
        "generate": "peers/test_vllm_omni.py::test_is_made",
        "list": "peers/test_vllm_omni.py::test_is_in_the_list",
        "delete": "peers/test_vllm_omni.py::test_is_gone_after_it_was_deleted",
        "cancel": "peers/test_vllm_omni.py::test_stops_when_it_is_deleted",
        "picture": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "size": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "seed": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "style": "peers/test_vllm_omni.py::test_that_it_does_not_know_is_ignored",
        "negative_prompt": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "fps": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "num_frames": "peers/test_vllm_omni.py::test_is_of_as_many_frames_as_were_asked_for",
        "guidance_scale": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "num_inference_steps": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
        "extra_body": "peers/test_vllm_omni.py::test_is_rendered_from_what_was_asked",
    },
    "sglang": {
        "generate": "peers/test_sglang.py::test_is_made",
        "list": "peers/test_sglang.py::test_is_in_the_list",
        "delete": "peers/test_sglang.py::test_is_gone_after_it_was_deleted",
        "cancel": "peers/test_sglang.py::test_has_no_content_yet_and_goes_on_after_it_was_deleted",
        "picture": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "size": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "seed": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "style": "peers/test_sglang.py::test_that_it_does_not_know_is_ignored",
        "negative_prompt": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "fps": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "guidance_scale": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "num_inference_steps": "peers/test_sglang.py::test_is_rendered_from_what_was_asked",
        "extra_body": "peers/test_sglang.py::test_of_the_wrong_type_is_refused",
    },
    "litellm": {
        "generate": "peers/test_litellm.py::test_is_made_through_the_proxy",
        "list": "peers/test_litellm.py::test_of_the_list_is_an_error",
        "delete": "peers/test_litellm.py::test_cannot_be_deleted",
        "cancel": "peers/test_litellm.py::test_cannot_be_deleted",
        "picture": "peers/test_litellm.py::test_can_begin_from_a_picture",
        "size": "peers/test_litellm.py::test_is_made_through_the_proxy",
        "seed": "peers/test_litellm.py::test_is_made_through_the_proxy",
        "style": "peers/test_litellm.py::test_is_made_through_the_proxy",
        "negative_prompt": "peers/test_litellm.py::test_goes_through",
        "cameos": "peers/test_litellm.py::test_reaches_the_upstream_as_a_value_that_it_can_read",
        "remix": "peers/test_litellm.py::test_can_be_made_from_another_one",
        "edit": "peers/test_litellm.py::test_can_be_made_from_another_one",
        "extend": "peers/test_litellm.py::test_can_be_made_from_another_one",
    },
}


def rows() -> dict[str, tuple[str, Callable[[Backend], str]]]:
    """What the table tells: by a word for :data:`SHOWN_BY`, the first cell and what the others say of a backend."""
    told: dict[str, tuple[str, Callable[[Backend], str]]] = {
        "generate": ("generate", lambda backend: NATIVE),
        "list": ("list videos", _route("list")),
        "delete": ("delete a video", _route("delete")),
        "cancel": ("cancel a job that runs", lambda backend: _native(backend.cancels)),
        "idempotency": ("`Idempotency-Key`", lambda backend: _native(backend.idempotent)),
        "picture": ("`input_reference`", lambda backend: _native(backend.picture is not None)),
        **{name: (f"`{name}`", _parameter(name)) for name in PARAMETERS},
        "extra_body": ("`extra_body`", lambda backend: _native(backend.extras != "refused")),
        "storyboard": ("storyboard", lambda backend: ", ".join(backend.storyboards)),
        "cameos": ("cameos", lambda backend: backend.cameos),
        "remix": ("remix", _route("remix")),
        "edit": ("edit", _route("edit")),
        "extend": ("extend", _route("extend")),
    }
    return told


def features() -> str:
    """A row for each feature and a column for each backend."""
    lines = []
    for key, (title, tell) in rows().items():
        cells = [
            f"{tell(backend)}\N{NO-BREAK SPACE}{SHOWN}" if key in SHOWN_BY.get(name, {}) else tell(backend)
            for name, backend in BACKENDS.items()
        ]
        lines.append([title, *cells])
    return table(["", *(f"`{name}`" for name in BACKENDS)], lines)


def encodings() -> str:
    """A row for each backend: how a create is written for it."""
    lines = []
    for name, backend in BACKENDS.items():
        length = f"`{backend.seconds_name}`, a {'number' if backend.seconds_as is int else 'text'}"
        picture = backend.picture
        sent = NOT if picture is None else f"`{picture.name}`, {_PICTURES[picture.form]}"
        lines.append([f"`{name}`", _BODIES[backend.body], length, sent, _EXTRAS[backend.extras]])
    return table(["`backend`", "a create is", "length", "picture", "`extra_body`"], lines)


TABLES = {"features": features, "encodings": encodings}


def in_page(page: str) -> str:
    """A page with the present tables between their markers.

    :param page: the text of ``docs/backends.md``.
    """
    for name, make in TABLES.items():
        page = replaced(page, name, make())
    return page


def _native(has_it: bool) -> str:
    return NATIVE if has_it else NOT


def _route(name: str) -> Callable[[Backend], str]:
    return lambda backend: _native(name in backend.routes)


def _parameter(name: str) -> Callable[[Backend], str]:
    def tell(backend: Backend) -> str:
        wire = backend.parameters.get(name)
        if wire is None:
            return NOT
        return NATIVE if wire == name else f"as `{wire}`"

    return tell


def main() -> None:
    """Print the tables, or write them into the page."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(in_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write("\n\n".join(table() for table in TABLES.values()) + "\n")


if __name__ == "__main__":
    main()
