"""A request in each server's own terms, or a refusal that says what to do instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.client.backends import BACKENDS, Backend, backend_named
from airflow_provider_sora.client.rendition import Rendition, render
from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import PARAMETERS, InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Scene, Storyboard
from airflow_provider_sora.videos.style import StyleTuning

PICTURE = InputReference(name="first.png", media_type="image/png", data=b"png")
CAT = Cameo(
    reference="cameo_1", id="cameo_1", name="小橘猫", description="a small ginger cat", picture="s3://cats/1.png"
)
DOG = Cameo(reference="cameo_2", id="cameo_2", name="Rex", description="a white dog", picture="s3://dogs/1.png")
SCENES = Storyboard(
    (Scene(start=0.0, end=5.0, prompt="@小橘猫 wakes"), Scene(start=5.0, end=10.0, prompt="then @小橘猫 leaps"))
)
VALUES: dict[str, Any] = {
    "size": "1280x720",
    "seed": 0,
    "style": "anime",
    "style_tuning": StyleTuning(grain=0.5),
    "negative_prompt": "fog",
    "fps": 24,
    "num_frames": 48,
    "guidance_scale": 0.0,
    "num_inference_steps": 30,
}
NO_CHARACTERS = [backend for backend in BACKENDS.values() if backend.cameos == "reference"]
WITH_IDS = [backend for backend in BACKENDS.values() if backend.cameos != "reference"]


def read_picture(path: str) -> InputReference:
    return InputReference(name=path.rpartition("/")[2], media_type="image/png", data=path.encode())


def rendered(request: VideoRequest, backend: Backend | str) -> Rendition:
    profile = backend_named(backend) if isinstance(backend, str) else backend
    return render(request, profile, read_picture=read_picture)


def refusal_of(request: VideoRequest, backend: Backend | str) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        rendered(request, backend)
    assert str(caught.value).startswith("Nothing was submitted: ")
    return str(caught.value)


class TestAPlainRequest:
    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_is_sent_as_it_is(self, backend: Backend) -> None:
        request = VideoRequest(prompt="A fox", input_reference=PICTURE)
        assert rendered(request, backend) == Rendition(request=request, rendered_as="native")

    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_has_the_parameters_that_the_profile_claims_and_no_other(self, backend: Backend) -> None:
        for name in PARAMETERS:
            request = replace(VideoRequest(prompt="A fox"), **{name: VALUES[name]})
            if name in backend.parameters:
                assert rendered(request, backend).request == request
            else:
                assert f"{backend.title} takes no {name}: " in refusal_of(request, backend)

    @pytest.mark.parametrize(
        ("backend", "name", "advice"),
        [
            ("vllm-omni", "style", "vLLM-Omni takes no style: write the style into the prompt."),
            ("sora", "negative_prompt", "takes no negative_prompt: say in the prompt what is to be seen instead."),
            ("openai", "seed", "or if this server does take it, put it into extra_body={'seed': …}."),
        ],
    )
    def test_is_refused_with_what_to_do_instead(self, backend: str, name: str, advice: str) -> None:
        assert refusal_of(VideoRequest(prompt="A fox", **{name: VALUES[name]}), backend).endswith(advice)

    def test_is_refused_with_all_that_is_wrong(self) -> None:
        message = refusal_of(VideoRequest(prompt="A fox", **VALUES), "openai")
        assert all(f"takes no {name}" in message for name in PARAMETERS if name != "size")

    def test_may_have_what_the_profile_does_not_claim_in_its_extra_body(self) -> None:
        request = VideoRequest(prompt="A fox", extra_body={"seed": 7, "style": "anime"})
        assert rendered(request, "openai").request == request

    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_has_no_parameter_in_its_extra_body_that_has_an_argument(self, backend: Backend) -> None:
        for name in backend.parameters:
            message = refusal_of(VideoRequest(prompt="A fox", extra_body={name: 1}), backend)
            assert message == f"Nothing was submitted: extra_body repeats {name}: use the argument of that name."

    @pytest.mark.parametrize(
        ("backend", "field", "argument", "more"),
        [
            ("openrouter", "duration", "seconds", {}),
            ("openrouter", "frame_images", "input_reference", {"input_reference": PICTURE}),
            ("tensorrt-llm", "image_reference", "input_reference", {"input_reference": PICTURE}),
            ("openai", "characters", "cameos", {"prompt": "@小橘猫", "cameos": (CAT,)}),
        ],
    )
    def test_has_no_field_in_its_extra_body_that_an_argument_is_written_to(
        self, backend: str, field: str, argument: str, more: dict[str, Any]
    ) -> None:
        request = VideoRequest(**{"prompt": "A fox", **more}, extra_body={field: 60})
        assert f"extra_body repeats {argument}" in refusal_of(request, backend)

    def test_has_no_extra_body_where_unknown_parameters_are_refused(self) -> None:
        strict = replace(backend_named("tensorrt-llm"), extras="refused")
        message = refusal_of(VideoRequest(prompt="A fox", style="anime", seed=1, extra_body={"hdr": True}), strict)
        assert "takes no extra_body: what it does not know would be refused or lost" in message
        assert "takes no style: write the style into the prompt" in message
        unclaiming = replace(strict, parameters={})
        assert "takes no seed: leave it out." in refusal_of(VideoRequest(prompt="A fox", seed=1), unclaiming)

    def test_has_no_picture_where_none_is_taken(self) -> None:
        blind = replace(backend_named("sglang"), picture=None)
        assert "takes no picture to begin from" in refusal_of(VideoRequest(prompt="x", input_reference=PICTURE), blind)


class TestAStoryboard:
    def request(self, **more: Any) -> VideoRequest:
        scenes = (Scene(start=0.0, end=5.0, prompt="It wakes"), Scene(start=5.0, end=10.0, prompt="It leaps"))
        return VideoRequest(prompt="A woodcut", storyboard=Storyboard(scenes), **more)

    def test_is_the_articles_field_where_the_server_has_it(self) -> None:
        assert rendered(self.request(), "sora") == Rendition(request=self.request(), rendered_as="native")

    @pytest.mark.parametrize("name", [name for name in BACKENDS if name != "sora"])
    def test_is_one_prompt_elsewhere(self, name: str) -> None:
        sent = rendered(self.request(), name)
        assert sent.rendered_as == "prompt"
        assert sent.request.storyboard is None
        assert sent.request.prompt == (
            "A woodcut\nShot 1, from 0 s to 5 s: It wakes\nShot 2, from 5 s to 10 s: It leaps"
        )

    def test_is_one_prompt_by_choice(self) -> None:
        assert rendered(self.request(render_as="prompt"), "sora").rendered_as == "prompt"

    def test_is_not_sent_to_a_server_that_would_ignore_it(self) -> None:
        assert refusal_of(self.request(render_as="native"), "sglang") == (
            "Nothing was submitted: SGLang Diffusion takes a storyboard as prompt, not as native: use that, or a job "
            "for each scene by render_as='stitch'."
        )

    @pytest.mark.parametrize("way", ["stitch", "collage"])
    def test_is_no_single_clip_in_any_other_way(self, way: str) -> None:
        """Stitching is a job for each scene: what is left of it here would be sent as an unknown field."""
        assert f"as prompt, not as {way}: use that" in refusal_of(self.request(render_as=way), "vllm-omni")

    def test_that_makes_too_long_a_prompt_is_refused(self) -> None:
        scenes = tuple(Scene(start=float(t), end=t + 1.0, prompt="猫" * 400) for t in range(90))
        request = VideoRequest(prompt="", seconds=90, storyboard=Storyboard(scenes))
        assert "characters, at most 32,000 are taken" in refusal_of(request, "sglang")
        assert rendered(request, "sora").rendered_as == "native"


class TestCameos:
    def test_are_the_articles_field_with_their_mentions_where_the_server_has_it(self) -> None:
        request = VideoRequest(prompt="@小橘猫坐着", cameos=(CAT,))
        assert rendered(request, "sora") == Rendition(request=request, rendered_as="native")

    @pytest.mark.parametrize("name", ["openai", "litellm"])
    def test_are_characters_whom_the_prompt_calls_by_their_bare_names(self, name: str) -> None:
        sent = rendered(VideoRequest(prompt="@小橘猫坐着，@Rex barks", cameos=(CAT, DOG)), name)
        assert sent.rendered_as == "characters"
        assert sent.request.prompt == "小橘猫坐着，Rex barks"
        assert sent.request.cameos == (CAT, DOG)

    @pytest.mark.parametrize("backend", NO_CHARACTERS, ids=lambda backend: backend.name)
    def test_are_a_picture_and_a_description_where_no_server_knows_them(self, backend: Backend) -> None:
        sent = rendered(VideoRequest(prompt="看@小橘猫坐着, then @小橘猫 leaps", cameos=(CAT,)), backend)
        assert sent.rendered_as == "reference"
        assert sent.request.prompt == "看a small ginger cat坐着, then a small ginger cat leaps"
        assert sent.request.cameos == ()
        assert sent.request.input_reference == read_picture("s3://cats/1.png")

    def test_in_scenes_are_rewritten_like_those_in_the_prompt(self) -> None:
        request = VideoRequest(prompt="A day of @小橘猫", storyboard=SCENES, cameos=(CAT,))
        native = rendered(request, "sora")
        assert native == Rendition(request=request, rendered_as="native")
        assert rendered(request, "openai") == Rendition(
            request=replace(
                request,
                storyboard=None,
                prompt="A day of 小橘猫\n"
                "Shot 1, from 0 s to 5 s: 小橘猫 wakes\n"
                "Shot 2, from 5 s to 10 s: then 小橘猫 leaps",
            ),
            rendered_as="prompt+characters",
        )
        sent = rendered(request, "vllm-omni")
        assert sent.rendered_as == "prompt+reference"
        assert sent.request.prompt.count("a small ginger cat") == 3

    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_leave_a_plain_sign_plain(self, backend: Backend) -> None:
        sent = rendered(VideoRequest(prompt="follow @@studio or mail a@b.example"), backend)
        assert (sent.request.prompt, sent.rendered_as) == ("follow @studio or mail a@b.example", "native")

    @pytest.mark.parametrize("backend", WITH_IDS, ids=lambda backend: backend.name)
    def test_without_an_id_are_not_sent_where_ids_are_known(self, backend: Backend) -> None:
        request = VideoRequest(prompt="@小橘猫", cameos=(replace(CAT, id=None, reference="小橘猫"),))
        assert "knows cameos by the id that creating one there gives" in refusal_of(request, backend)

    @pytest.mark.parametrize("backend", WITH_IDS, ids=lambda backend: backend.name)
    def test_that_are_bare_ids_are_sent_as_they_are(self, backend: Backend) -> None:
        request = VideoRequest(prompt="A fox and Rex", cameos=(Cameo(reference="cameo_2"),))
        assert rendered(request, backend).request == request

    @pytest.mark.parametrize("backend", NO_CHARACTERS, ids=lambda backend: backend.name)
    @pytest.mark.parametrize("lacking", [{"picture": None}, {"description": ""}])
    def test_of_which_too_little_is_known_are_refused(self, backend: Backend, lacking: dict[str, Any]) -> None:
        message = refusal_of(VideoRequest(prompt="@小橘猫", cameos=(replace(CAT, **lacking),)), backend)
        assert "takes the output of SoraCreateCameoOperator with a description, not 'cameo_1'" in message

    def test_that_are_several_have_no_room_in_one_picture(self) -> None:
        request = VideoRequest(prompt="@小橘猫 and @Rex", cameos=(CAT, DOG))
        assert "takes one picture, which can stand for one cameo, not 2" in refusal_of(request, "vllm-omni")

    def test_have_no_room_beside_a_picture_to_begin_from(self) -> None:
        request = VideoRequest(prompt="@小橘猫", cameos=(CAT,), input_reference=PICTURE)
        assert "takes one picture: either a cameo's or input_reference" in refusal_of(request, "vllm-omni")

    def test_have_no_place_on_a_server_without_pictures(self) -> None:
        blind = replace(backend_named("sglang"), picture=None)
        message = refusal_of(VideoRequest(prompt="@小橘猫", cameos=(CAT,)), blind)
        assert "knows no characters and takes no picture that could stand for one" in message


class TestAVideoFromAnother:
    @pytest.mark.parametrize("derivation", Derivation)
    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_is_made_where_the_profile_has_the_route(self, backend: Backend, derivation: Derivation) -> None:
        source = Source(derivation=derivation, video_id="video_1")
        request = VideoRequest(prompt="At night", seconds=None, source=source)
        if derivation in backend.routes:
            assert rendered(request, backend) == Rendition(request=request, rendered_as="native")
        else:
            message = refusal_of(request, backend)
            assert f"{backend.title} (backend {backend.name!r}) has no route to {derivation} a video" in message
            assert "the backends that have: " in message

    @pytest.mark.parametrize(
        "more", [{"size": "1280x720"}, {"cameos": (CAT,)}, {"storyboard": SCENES}, {"input_reference": PICTURE}]
    )
    def test_takes_all_but_the_prompt_from_it(self, more: dict[str, Any]) -> None:
        source = Source(derivation=Derivation.REMIX, video_id="video_1")
        request = VideoRequest(prompt="@小橘猫", source=source, **more)
        assert "all but its prompt a remix takes from its source" in refusal_of(request, "sora")


words = st.sampled_from(
    ["@小橘猫", "@Rex", "小橘猫", "Rex", "坐着", " ", "@@studio", "a@b.example", "@@@", "\n", "Zoë"]
)
texts = st.lists(words, min_size=1, max_size=8).map("".join)
storyboards = st.lists(texts, min_size=1, max_size=3).map(
    lambda prompts: Storyboard(
        tuple(Scene(start=float(t), end=t + 1.0, prompt=prompt) for t, prompt in enumerate(prompts))
    )
)
requests = st.builds(
    VideoRequest,
    prompt=texts,
    size=st.sampled_from([None, "1280x720"]),
    seed=st.sampled_from([None, 0, 7]),
    input_reference=st.sampled_from([None, PICTURE]),
    cameos=st.sampled_from([(), (CAT,), (CAT, DOG)]),
    storyboard=st.none() | storyboards,
    extra_body=st.sampled_from([{}, {"hdr": True}]),
)


@given(requests, st.sampled_from([*BACKENDS.values()]))
def test_what_is_in_a_servers_terms_already_stays_as_it_is(request: VideoRequest, backend: Backend) -> None:
    """A request is rendered when it is recorded, and may be again when it is sent: both must say the same."""
    try:
        once = rendered(request, backend)
    except InvalidRequestError:
        return
    assert rendered(once.request, backend).request == once.request


@given(requests, st.sampled_from([*BACKENDS.values()]))
def test_nothing_is_sent_that_the_profile_does_not_claim(request: VideoRequest, backend: Backend) -> None:
    try:
        sent = rendered(request, backend).request
    except InvalidRequestError:
        return
    assert {name for name in PARAMETERS if getattr(sent, name) is not None} <= set(backend.parameters)
    assert sent.storyboard is None or "native" in backend.storyboards
    assert sent.cameos == () or backend.cameos != "reference"
    assert sent.input_reference is None or backend.picture is not None
    assert (sent.seconds, sent.size, sent.seed) == (request.seconds, request.size, request.seed)
