"""What the hook sends of a request: with the ids that the server gives to names, in the terms of its profile."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, Request, ScriptedServer
from PIL import Image

from airflow_provider_sora.exceptions import AuthenticationError, InvalidRequestError, RejectedError
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Storyboard

DECEMBER = "sora-2-2025-12-08"
JOB = {"id": "video_1", "object": "video", "status": "queued"}
SCENES = Storyboard.parse([{"start": 0, "end": 2, "prompt": "It wakes"}, {"start": 2, "end": 4, "prompt": "It leaps"}])


def picture(colour: str = "orange", name: str = "cat.png") -> InputReference:
    png = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(png, "PNG")
    return InputReference(name=name, media_type="image/png", data=png.getvalue())


@pytest.fixture
def cast(connect: Any) -> Any:
    """An emulator of its own with two cats and a dog, two of whom share a name."""
    with EmulatorProcess() as emulator:
        connect(emulator.base_url)
        hook = SoraHook()
        cameos = [
            hook.create_cameo(name=name, pictures=[picture(), picture("red")]) for name in ("小橘猫", "Rex", "Rex")
        ]
        yield hook, [str(cameo.id) for cameo in cameos], emulator


def parse(prompt: str, **more: Any) -> VideoRequest:
    return VideoRequest.parse(prompt=prompt, seconds=4, **more)


class TestACameoOfTheServer:
    def test_is_known_by_its_id_and_by_its_name(self, cast: Any) -> None:
        hook, (cat, _, dog), _ = cast
        for reference in (cat, "小橘猫"):
            (cameo,) = hook.render(parse("@小橘猫坐着", cameos=[reference])).request.cameos
            assert (cameo.id, cameo.name) == (cat, "小橘猫")
        both = hook.render(parse("@小橘猫 and @Rex", cameos=["小橘猫", dog])).request.cameos
        assert [cameo.id for cameo in both] == [cat, dog]

    def test_appears_in_a_clip(self, cast: Any) -> None:
        hook, _, _ = cast
        rendition = hook.render(parse("@小橘猫坐着", cameos=["小橘猫"], storyboard=SCENES))
        assert rendition.rendered_as == "native"
        for sent in (rendition, rendition.request):
            assert hook.create_video(sent, snapshot=DECEMBER).id

    def test_whose_name_is_that_of_two_wants_an_id(self, cast: Any) -> None:
        hook, (_, *dogs), _ = cast
        with pytest.raises(InvalidRequestError) as caught:
            hook.render(parse("@Rex barks", cameos=["Rex"]))
        assert "the server has 2 cameos named 'Rex': write the id" in str(caught.value)
        assert all(dog in str(caught.value) for dog in dogs)

    def test_is_looked_for_once_however_many_clips_have_it(self, cast: Any) -> None:
        _, (cat, _, dog), emulator = cast
        asked, hook = emulator.stats()["requests"].get("list_cameos", 0), SoraHook()
        with ThreadPoolExecutor(8) as pool:
            for name, reference in (("小橘猫", "小橘猫"), ("小橘猫", cat), ("Rex", dog)):
                list(pool.map(hook.render, [parse(f"@{name} sits", cameos=[reference])] * 20))
        assert emulator.stats()["requests"]["list_cameos"] - asked == 1

    def test_that_was_not_there_is_looked_for_once_more_as_it_may_be_new(self, cast: Any) -> None:
        _, _, emulator = cast
        asked, hook = emulator.stats()["requests"].get("list_cameos", 0), SoraHook()
        hook.render(parse("@小橘猫坐着", cameos=["小橘猫"]))
        made = SoraHook().create_cameo(name="Tom", pictures=[picture()])
        assert hook.render(parse("@Tom barks", cameos=["Tom"])).request.cameos[0].id == made.id
        for _ in range(5):
            with pytest.raises(InvalidRequestError, match="the server has no cameo 'Ann'"):
                hook.render(parse("@Ann waves", cameos=["Ann"]))
        assert emulator.stats()["requests"]["list_cameos"] - asked == 3

    def test_that_is_not_there_is_told_with_those_that_are(self, cast: Any) -> None:
        hook, (cat, *_), _ = cast
        with pytest.raises(InvalidRequestError, match=f"the server has no cameo 'Tom'.*小橘猫 \\({cat}\\)"):
            hook.render(parse("@Tom", cameos=["Tom"]))

    def test_has_its_mention_checked_once_its_name_is_known(self, cast: Any) -> None:
        hook, (cat, *_), _ = cast
        with pytest.raises(InvalidRequestError, match=r"mentions @Tom, but there are @小橘猫.*not mention.*@小橘猫"):
            hook.render(parse("@Tom barks", cameos=[cat]))

    def test_that_is_known_whole_is_not_asked_for(self, cast: Any) -> None:
        hook, (cat, *_), emulator = cast
        before = emulator.stats()["requests"]
        request = parse("@小橘猫", cameos=[{"cameo_id": cat, "name": "小橘猫"}])
        assert hook.render(request).request == request
        assert hook.render(parse("No mention")).rendered_as == "native"
        assert emulator.stats()["requests"] == before

    def test_is_not_made_twice_by_one_key(self, cast: Any) -> None:
        hook, _, _ = cast
        made = {
            hook.create_cameo(name="Ann", description="tall", pictures=[picture()], idempotency_key="sora-cameo-1").id
            for _ in range(2)
        }
        assert len(made) == 1


class TestAServerWithoutAListOfCameos:
    @pytest.mark.parametrize("status", [404, 405])
    def test_is_sent_ids_as_they_are(self, status: int, connect: Any) -> None:
        """The article shows how a cameo is made, and no list of them."""
        with ScriptedServer(Reply(status, {"detail": "No"}), Reply(200, JOB)) as server:
            connect(server.base_url)
            hook = SoraHook()
            for _ in range(3):
                rendition = hook.render(parse("@Ann waves", cameos=["cameo_1"]))
            hook.create_video(rendition, snapshot=DECEMBER)
        assert [request.path for request in server.requests] == ["/v1/videos/cameos", "/v1/videos"]
        assert server.requests[1].json["cameos"] == ["cameo_1"]

    def test_is_not_one_that_refuses_the_key(self, connect: Any) -> None:
        with ScriptedServer(Reply(401, {"error": {"message": "No"}})) as server:
            connect(server.base_url)
            with pytest.raises(AuthenticationError):
                SoraHook().render(parse("@Ann waves", cameos=["cameo_1"]))


class TestOtherBackends:
    @pytest.mark.parametrize("backend", ["openai", "litellm"])
    def test_make_a_character_of_a_clip_that_shows_the_pictures(self, backend: str, connect: Any) -> None:
        with ScriptedServer(Reply(200, {"id": "char_1", "object": "character", "name": "Ann"})) as server:
            connect(server.base_url, backend=backend)
            cameo = SoraHook().create_cameo(name="Ann", pictures=[picture(), picture("red")], model="alias")
        assert cameo.id == "char_1"
        sent = server.request
        assert sent.path == "/v1/videos/characters"
        assert b"ftyp" in sent.body
        assert (b'name="target_model_names"' in sent.body) is (backend == "litellm")

    def test_that_know_no_characters_are_sent_nothing(self, connect: Any, free_port_of_nobody: int) -> None:
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", backend="vllm-omni")
        cameo = SoraHook().create_cameo(name="Ann", description="tall", pictures=[picture()], model="wan")
        assert cameo == Cameo(reference="Ann", name="Ann", description="tall")

    def test_are_sent_the_picture_and_the_description_of_a_cameo(
        self, connect: Any, tmp_path: Path, free_port_of_nobody: int
    ) -> None:
        path = tmp_path / "ann.png"
        path.write_bytes(picture().data)
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", backend="vllm-omni")
        output = {
            "cameo_id": None,
            "name": "Ann",
            "description": "a tall woman",
            "reference_images": [{"uri": str(path)}],
        }
        rendition = SoraHook().render(parse("@Ann waves", size="1280x720", cameos=[output], storyboard=SCENES))
        assert rendition.rendered_as == "prompt+reference"
        assert rendition.request.prompt.startswith("a tall woman waves\nShot 1, from 0 s to 2 s: It wakes")
        assert rendition.request.input_reference is not None
        with Image.open(io.BytesIO(rendition.request.input_reference.content)) as sent:
            assert sent.size == (1280, 720)

    def test_refuse_what_their_profile_cannot_say_before_anything_is_sent(
        self, connect: Any, free_port_of_nobody: int
    ) -> None:
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", backend="sglang")
        with pytest.raises(InvalidRequestError, match="takes no style: write the style into the prompt"):
            SoraHook().create_video(parse("A fox", style="anime"), snapshot="wan")
        remix = VideoRequest(prompt="At night", seconds=None, source=Source(derivation=Derivation.REMIX, video_id="v"))
        with pytest.raises(InvalidRequestError, match="has no route to remix a video"):
            SoraHook().create_video(remix, snapshot="wan")


class TestARenditionIsSentAsItIs:
    def test_and_not_put_into_other_words_once_more(self, connect: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            connect(server.base_url, backend="openai")
            request = parse("write to @@Ann of @Ann", cameos=[{"cameo_id": "char_1", "name": "Ann"}])
            rendition = SoraHook().render(request)
            SoraHook().create_video(rendition, snapshot=DECEMBER)
        assert server.request.json["prompt"] == rendition.request.prompt == "write to @Ann of Ann"


class TestWhatTheServerLooksLike:
    def test_is_the_emulator(self, sora: EmulatorProcess) -> None:
        assert SoraHook().detect_backend() == "sora"

    def test_is_told_by_the_test_button_where_the_connection_says_otherwise(
        self, sora: EmulatorProcess, connect: Any
    ) -> None:
        assert "It looks like" not in SoraHook().test_connection()[1]
        connect(sora.base_url, backend="vllm-omni")
        ok, message = SoraHook().test_connection()
        assert ok
        assert message.endswith(
            " It looks like backend 'sora', and the connection says 'vllm-omni'. Set it to 'sora', unless you "
            "mean it: what the two write differently would be refused or ignored."
        )

    def test_is_not_guessed_by_the_test_button(self, connect: Any) -> None:
        def answer(request: Request) -> Reply:
            return Reply(200, {"data": [{"id": "m", "owned_by": "me"}]}) if "models" in request.path else Reply(404, {})

        with ScriptedServer(answer) as server:
            connect(server.base_url, backend="openai")
            assert SoraHook().test_connection() == (True, f"GET {server.base_url}/models answered with 1 models.")

    def test_that_claims_a_route_which_it_does_not_have_is_told_at_the_create(self, connect: Any) -> None:
        with ScriptedServer(Reply(405, {"detail": "Method Not Allowed"})) as server:
            connect(server.base_url, backend="openai")
            edit = Source(derivation=Derivation.EDIT, video_id="video_1")
            with pytest.raises(RejectedError, match="the test button tells what it looks like"):
                SoraHook().create_video(VideoRequest(prompt="Red", seconds=None, source=edit), snapshot=DECEMBER)
