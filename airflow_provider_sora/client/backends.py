"""How each kind of server wants this protocol: one declarative profile a server.

What a profile says was read in the servers' released code, or seen on the wire; ``docs/backends.md`` names the
versions. To add a server, add an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_sora.exceptions import ConfigurationError

#: What a server may offer beside creating, retrieving and serving a video.
ROUTES = ("list", "delete", "remix", "edit", "extend", "cameos", "characters", "models")

#: How scenes become a clip: the server's own field, one prompt with timed shots, or a job for each scene, joined here.
STORYBOARDS = ("native", "prompt", "stitch")

#: Parameters of a request that most servers of open models take under these names.
_DIFFUSION = ("size", "seed", "negative_prompt", "fps", "num_frames", "guidance_scale", "num_inference_steps")

#: Fields of vLLM-Omni's form for which a request has no argument.
_VLLM_OMNI = frozenset(
    (
        *("user", "width", "height", "aspect_ratio", "short_edge", "quality", "lora", "extra_params", "control_type"),
        *("guidance_scale_2", "boundary_ratio", "flow_shift", "true_cfg_scale", "generate_sound", "sound_duration"),
        *("start_time_seconds", "image_reference", "video_reference", "audio_reference", "return_stage_metrics"),
        *("enable_frame_interpolation", "frame_interpolation_exp", "frame_interpolation_scale"),
        "frame_interpolation_model_path",
    )
)


#: Fields of SGLang's forms, which it also reads from JSON.
_SGLANG = frozenset(
    (
        *("width", "height", "guidance_scale_2", "true_cfg_scale", "flow_shift", "max_sequence_length"),
        *("generator_device", "enable_teacache", "output_quality", "enhance_prompt", "extra_params"),
    )
)


@dataclass(frozen=True, kw_only=True)
class PictureField:
    """How a picture to begin from is sent.

    :param name: the field.
    :param form: an uploaded ``file``, a ``data_url``, or OpenRouter's list of ``frames`` with one.
    """

    name: str
    form: Literal["file", "data_url", "frames"]


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The profile of a kind of server.

    :param name: what the connection's extra ``backend`` says.
    :param title: its name for people.
    :param routes: some of :data:`ROUTES`.
    :param body: whether a create is sent as JSON, and as a form only where a file goes with it (``any``), always as
        JSON, or always as a form.
    :param seconds_name: the field for the length of a clip.
    :param seconds_as: the type in which it is taken.
    :param parameters: which of a request's optional parameters it takes, by our name to its own.
    :param extras: where ``extra_body`` goes: beside the others in the ``body``, into a field ``extra_params`` as an
        ``object`` or as JSON ``text``, or nowhere: what the server would refuse or ignore is ``refused`` here.
    :param further: fields of its body for which a request has no argument; ``extra_body`` may hold them, wherever the
        rest of it goes.
    :param picture: how it takes a picture, None where it takes none.
    :param storyboards: how scenes can be rendered, the preferred way first.
    :param cameos: how characters are sent: the article's ``native`` field, OpenAI's ``characters``, or as a picture and
        a description in the prompt, a ``reference``.
    :param idempotent: whether a create with an ``Idempotency-Key`` that it knows gives the same job again.
    :param cancels: whether deleting a job that runs stops it.
    :param create_headers: sent with each create.
    :param create_fields: sent with each create, unless ``extra_body`` says otherwise.
    :param character_model: the field of a new character that names the model that it is for, None where there is none.
    :param owner: what its list of models gives as ``owned_by``; None where that does not tell it from others.
    """

    name: str
    title: str
    routes: frozenset[str]
    body: Literal["any", "json", "form"] = "any"
    seconds_name: str = "seconds"
    seconds_as: type[int] | type[str] = str
    parameters: Mapping[str, str]
    extras: Literal["body", "object", "text", "refused"] = "body"
    further: frozenset[str] = frozenset()
    picture: PictureField | None = PictureField(name="input_reference", form="file")
    storyboards: tuple[str, ...] = ("prompt", "stitch")
    cameos: Literal["native", "characters", "reference"] = "reference"
    idempotent: bool = False
    cancels: bool = False
    create_headers: Mapping[str, str] = field(default_factory=dict)
    create_fields: Mapping[str, str] = field(default_factory=dict)
    character_model: str | None = None
    owner: str | None = None

    @property
    def lists(self) -> bool:
        """Whether it lists its videos."""
        return "list" in self.routes


def _profile(name: str, title: str, *, routes: str, parameters: tuple[str, ...], **rest: Any) -> Backend:
    known = frozenset(routes.split())
    return Backend(name=name, title=title, routes=known, parameters={each: each for each in parameters}, **rest)


BACKENDS = {
    backend.name: backend
    for backend in (
        _profile(
            "sora",
            "The Sora 2 API",
            routes="list delete remix cameos models",
            parameters=("size", "seed", "style", "style_tuning"),
            seconds_as=int,
            storyboards=STORYBOARDS,
            cameos="native",
            idempotent=True,
            cancels=True,
            owner="emulator",
        ),
        # It refused integers: seconds were the texts "4", "8", "12" and later "16" and "20".
        _profile(
            "openai",
            "OpenAI's Videos API",
            routes="list delete remix edit extend characters models",
            parameters=("size",),
            cameos="characters",
        ),
        # A JSON body is refused there, and fields of a form that it does not know are ignored.
        _profile(
            "vllm-omni",
            "vLLM-Omni",
            routes="list delete models",
            parameters=_DIFFUSION,
            body="form",
            extras="text",
            further=_VLLM_OMNI,
            cancels=True,
            owner="vllm",
        ),
        _profile(
            "sglang",
            "SGLang Diffusion",
            routes="list delete models",
            parameters=_DIFFUSION,
            seconds_as=int,
            # Beside the others they would be lost where a picture makes a form of the request.
            extras="object",
            further=_SGLANG,
            owner="sglang",
        ),
        _profile(
            "fastvideo",
            "FastVideo",
            routes="list delete models",
            parameters=_DIFFUSION,
            seconds_as=int,
            extras="refused",
            further=frozenset(["enable_teacache"]),
            owner="fastvideo",
        ),
        # What it does not know is refused in JSON; of a form it reads some fields, and drops the others without a word.
        _profile(
            "tensorrt-llm",
            "TensorRT-LLM visual_gen",
            routes="list delete models",
            parameters=_DIFFUSION,
            seconds_as=int,
            extras="object",
            further=frozenset(["width", "height", "max_sequence_length", "response_format", "format", "extra_params"]),
            body="json",
            picture=PictureField(name="image_reference", form="data_url"),
            cancels=True,
            # Left to choose, it may render an AVI file.
            create_fields={"format": "mp4"},
            owner="tensorrt_llm",
        ),
        # Its router sends one POST three times, also after an upstream took the job; this header stops it. It makes a
        # form of everything, in which a list or an object comes to nothing unless it came as text in a form.
        _profile(
            "litellm",
            "LiteLLM proxy",
            routes="remix edit extend characters models",
            parameters=(*_DIFFUSION, "style"),
            body="form",
            cameos="characters",
            create_headers={"x-litellm-num-retries": "0"},
            character_model="target_model_names",
        ),
        _profile(
            "new-api",
            "New API and its family",
            routes="remix models",
            parameters=(*_DIFFUSION, "style"),
        ),
        # Its list of videos wants a provider, which no connection of ours has.
        _profile(
            "bifrost",
            "Bifrost",
            routes="delete remix models",
            parameters=("size", "seed", "negative_prompt"),
            body="json",
            extras="object",
            further=frozenset(["audio", "video_uri", "extra_params"]),
            picture=PictureField(name="input_reference", form="data_url"),
        ),
        _profile(
            "openrouter",
            "OpenRouter",
            routes="models",
            parameters=("size", "seed"),
            body="json",
            seconds_name="duration",
            seconds_as=int,
            picture=PictureField(name="frame_images", form="frames"),
        ),
    )
}


def backend_named(name: str) -> Backend:
    """The profile of this name.

    :param name: what the connection says.
    :raises ConfigurationError: there is no such profile.
    """
    try:
        return BACKENDS[name]
    except KeyError:
        known = "; ".join(f"{backend.name} ({backend.title})" for backend in BACKENDS.values())
        raise ConfigurationError(
            f"The connection's backend {name!r} is not known. Nothing was sent. Known: {known}."
        ) from None
