"""The typed methods of the openai SDK against a running emulator."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, TypeVar

import av
import openai
import pytest
from emulator.http_helpers import NEW, client_of, image, mp4
from emulator_process import EmulatorProcess
from openai.types import Video

T = TypeVar("T")
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(emulator: EmulatorProcess) -> openai.OpenAI:
    return client_of(emulator)


def retired(method: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a method that the SDK marks as deprecated, because the vendor shut its own API down."""
    with pytest.deprecated_call(match="Sora API"):
        return method(*arguments, **options)


def completed(client: openai.OpenAI, **options: Any) -> Video:
    return retired(client.videos.create_and_poll, **{"prompt": "a cat", "seconds": "4", **options})


def downloaded(client: openai.OpenAI, video: Video) -> tuple[float, tuple[int, int]]:
    """Duration in seconds and size of a video's file."""
    assert retired(client.videos.poll, video.id).status == "completed"
    content = retired(client.videos.download_content, video.id).content
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        return container.duration / 1_000_000, (stream.width, stream.height)


class TestVideos:
    def test_create_starts_a_job_on_the_snapshot_behind_the_alias(self, client: openai.OpenAI) -> None:
        video = retired(client.videos.create, prompt="a cat", model="sora-2", seconds="8", size="1280x720")
        assert (video.object, video.model, video.seconds, video.size) == ("video", NEW, "8", "1280x720")

    def test_create_uploads_a_reference_image(self, client: openai.OpenAI) -> None:
        reference = ("pixel.png", image(), "image/png")
        video = retired(client.videos.create, prompt="a cat", input_reference=reference)
        assert retired(client.videos.poll, video.id).status == "completed"

    def test_create_sends_nested_fields_where_json_is_asked_for(self, client: openai.OpenAI) -> None:
        scenes = [{"start": 0, "end": 5, "prompt": "dawn"}, {"start": 5, "end": 10, "prompt": "night"}]
        extra = {"seconds": 10, "seed": 7, "storyboard": {"scenes": scenes}}
        video = retired(client.videos.create, prompt="a day", extra_body=extra, extra_headers=JSON)
        assert video.seconds == "10"
        assert video.to_dict()["storyboard"] == {"scenes": scenes}

    def test_refusals_of_a_create_arrive_as_typed_exceptions(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            retired(client.videos.create, prompt="a cat", extra_body={"seconds": 30})
        assert (refused.value.code, refused.value.param) == ("invalid_value", "seconds")
        with pytest.raises(openai.NotFoundError) as unknown:
            retired(client.videos.create, prompt="a cat", model="sora-9")
        assert unknown.value.code == "model_not_found"

    def test_create_and_poll_follows_our_header(self, client: openai.OpenAI) -> None:
        started = time.monotonic()
        assert completed(client).status == "completed"
        assert time.monotonic() - started < 1

    def test_retrieve_gives_the_state_of_a_job(self, client: openai.OpenAI) -> None:
        video = completed(client)
        known = retired(client.videos.retrieve, video.id)
        assert (known.id, known.status, known.progress) == (video.id, "completed", 100)

    def test_list_goes_from_page_to_page_newest_first(self, client: openai.OpenAI) -> None:
        ids = [retired(client.videos.create, prompt="a cat").id for _ in range(3)]
        pages = iter(retired(client.videos.list, limit=1))
        assert [next(pages).id for _ in range(3)] == ids[::-1]

    def test_delete_removes_a_job(self, client: openai.OpenAI) -> None:
        video = completed(client)
        deleted = retired(client.videos.delete, video.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (video.id, True, "video.deleted")
        with pytest.raises(openai.NotFoundError) as raised:
            retired(client.videos.retrieve, video.id)
        assert raised.value.code == "video_not_found"

    def test_download_content_gives_the_clip_and_its_pictures(self, client: openai.OpenAI) -> None:
        video = completed(client, seconds="8", size="1280x720")
        assert downloaded(client, video) == (8, (1280, 720))
        thumbnail = retired(client.videos.download_content, video.id, variant="thumbnail")
        assert thumbnail.content[8:12] == b"WEBP"

    def test_remix_makes_another_video_from_one(self, client: openai.OpenAI) -> None:
        source = completed(client)
        remix = retired(client.videos.remix, source.id, prompt="a fox")
        assert (remix.remixed_from_video_id, remix.prompt) == (source.id, "a fox")
        assert remix.to_dict()["seed"] == source.to_dict()["seed"]


class TestCharacters:
    def test_create_character_takes_a_video_and_a_name(self, client: openai.OpenAI) -> None:
        character = retired(client.videos.create_character, name="Mossy", video=("mossy.mp4", mp4(), "video/mp4"))
        assert character.id is not None
        assert character.id.startswith("char_")
        assert character.name == "Mossy"
        assert character.created_at == pytest.approx(time.time(), abs=60)

    def test_get_character_knows_it_again(self, client: openai.OpenAI) -> None:
        character = retired(client.videos.create_character, name="Mossy", video=mp4())
        assert retired(client.videos.get_character, character.id).to_dict() == character.to_dict()
        with pytest.raises(openai.NotFoundError) as raised:
            retired(client.videos.get_character, "char_none")
        assert raised.value.code == "character_not_found"

    def test_create_names_characters_in_json(self, client: openai.OpenAI) -> None:
        cast = [{"id": retired(client.videos.create_character, name="Mossy", video=mp4()).id}]
        video = retired(client.videos.create, prompt="Mossy eats", extra_body={"characters": cast}, extra_headers=JSON)
        assert video.to_dict()["characters"] == cast
        assert downloaded(client, video)[0] == 4

    def test_create_without_the_json_header_is_told_how_to_send_them(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="Send nested values as JSON"):
            retired(client.videos.create, prompt="a cat", extra_body={"characters": [{"id": "char_1"}]})


class TestSources:
    @pytest.mark.parametrize("headers", [{}, JSON])
    @pytest.mark.parametrize(("method", "options"), [("edit", {}), ("extend", {"seconds": "4"})])
    def test_the_sdk_itself_refuses_an_id_in_the_typed_argument(
        self, client: openai.OpenAI, method: str, options: dict[str, str], headers: dict[str, str]
    ) -> None:
        with pytest.raises(RuntimeError, match="Expected entry at `video` to be bytes"):
            retired(
                getattr(client.videos, method), prompt="a", video={"id": "video_1"}, extra_headers=headers, **options
            )

    @pytest.mark.parametrize("headers", [{}, JSON])
    def test_edit_takes_an_id_in_the_extra_body(self, client: openai.OpenAI, headers: dict[str, str]) -> None:
        source = completed(client, seconds="8", size="1280x720")
        video: Any = openai.omit
        edit = retired(
            client.videos.edit,
            prompt="in blue",
            video=video,
            extra_body={"video": {"id": source.id}},
            extra_headers=headers,
        )
        assert (edit.remixed_from_video_id, edit.prompt) == (source.id, "in blue")
        assert downloaded(client, edit) == (8, (1280, 720))

    @pytest.mark.parametrize("headers", [{}, JSON])
    def test_extend_takes_an_id_in_the_extra_body(self, client: openai.OpenAI, headers: dict[str, str]) -> None:
        source = completed(client, seconds="4")
        video: Any = openai.omit
        extension = retired(
            client.videos.extend,
            prompt="and then",
            seconds="8",
            video=video,
            extra_body={"video": {"id": source.id}},
            extra_headers=headers,
        )
        assert (extension.remixed_from_video_id, extension.seconds) == (source.id, "12")
        assert downloaded(client, extension) == (12, (720, 1280))

    @pytest.mark.parametrize(("path", "options"), [("/videos/edits", {}), ("/videos/extensions", {"seconds": "4"})])
    def test_the_untyped_call_takes_an_id(self, client: openai.OpenAI, path: str, options: dict[str, str]) -> None:
        source = completed(client)
        body = {"prompt": "a fox", "video": {"id": source.id}, **options}
        assert client.post(path, body=body, cast_to=Video).remixed_from_video_id == source.id

    def test_edit_takes_a_file(self, client: openai.OpenAI) -> None:
        edit = retired(client.videos.edit, prompt="in blue", video=("upload.mp4", mp4(), "video/mp4"))
        assert edit.remixed_from_video_id is None
        assert downloaded(client, edit) == (4, (720, 1280))

    def test_extend_takes_a_file(self, client: openai.OpenAI) -> None:
        extension = retired(client.videos.extend, prompt="and then", seconds="8", video=io.BytesIO(mp4()))
        assert extension.seconds == "12"
        assert downloaded(client, extension) == (12, (720, 1280))


class TestModels:
    def test_they_can_be_listed_and_retrieved(self, client: openai.OpenAI) -> None:
        assert "sora-2-2025-10-06" in [model.id for model in client.models.list()]
        assert client.models.retrieve("sora-2").to_dict()["alias_of"] == NEW
