"""A request in a server's own terms, by its profile. Pure.

No server has everything, and most of them ignore what they do not know: so what a profile does not claim is either put
into other words that the server understands, and recorded as such, or refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_sora.client.backends import BACKENDS, Backend
from airflow_provider_sora.videos.arguments import refusal
from airflow_provider_sora.videos.cameo import Cameo, with_mentions
from airflow_provider_sora.videos.request import MAX_PROMPT_CHARACTERS, PARAMETERS, InputReference, VideoRequest

#: What a result records where the server got the request in the form in which its author wrote it.
NATIVE = "native"

ReadPicture = Callable[[str], InputReference]


@dataclass(frozen=True, kw_only=True)
class Rendition:
    """What is sent.

    :param request: in the terms that the server's profile claims.
    :param rendered_as: ``native``; else what was put into other words, ``prompt`` for a storyboard, ``characters`` or
        ``reference`` for cameos, joined by ``+``.
    """

    request: VideoRequest
    rendered_as: str


def render(request: VideoRequest, backend: Backend, *, read_picture: ReadPicture) -> Rendition:
    """Put a request into the terms of a server. What is in them already comes back as it is.

    :param request: with its cameos' names and ids, as far as the server tells them.
    :param backend: the server's profile.
    :param read_picture: reads a cameo's picture from its path or URL.
    :raises InvalidRequestError: the profile cannot express it, with the alternative.
    """
    problems = _faults(request, backend)
    ways: list[str] = []
    if request.storyboard is not None:
        way = request.render_as or next(way for way in backend.storyboards if way != "stitch")
        if way not in backend.storyboards or way == "stitch":
            ways_here = [each for each in backend.storyboards if each != "stitch"]
            others = ", or a job for each scene by render_as='stitch'" if way != "stitch" else ""
            problems.append(
                f"{backend.title} takes a storyboard as {' or '.join(ways_here)}, not as {way}: use that{others}"
            )
        if way == "prompt":
            request = replace(request, prompt=request.storyboard.as_prompt(request.prompt), storyboard=None)
            ways.append(way)
            if len(request.prompt) > MAX_PROMPT_CHARACTERS:
                problems.append(
                    f"the scenes make a prompt of {len(request.prompt):,} characters, at most "
                    f"{MAX_PROMPT_CHARACTERS:,} are taken"
                )
    for cameo in request.cameos:
        if cameo.made_as not in (None, backend.cameos):
            problems.append(
                f"the cameo {cameo.name} was made for a server that takes it as {cameo.made_as}, and {backend.title} "
                f"takes it as {backend.cameos}: make it on this connection"
            )
    if request.cameos:
        if backend.cameos == "reference":
            problems += _faults_of_reference(request, backend)
            if not problems:
                request = _with_reference(request, read_picture)
        elif any(cameo.id is None and cameo.name is not None for cameo in request.cameos):
            problems.append(f"{backend.title} knows cameos by the id that creating one there gives")
        if backend.cameos != NATIVE:
            ways.append(backend.cameos)
    if problems:
        raise refusal(problems)
    return Rendition(request=_as_mentioned(request, backend), rendered_as="+".join(ways) or NATIVE)


def _faults(request: VideoRequest, backend: Backend) -> list[str]:
    faults: list[str] = []
    given = [name for name in PARAMETERS if getattr(request, name) is not None]
    if request.source is not None:
        derivation = request.source.derivation
        if derivation not in backend.routes:
            able = ", ".join(each.name for each in BACKENDS.values() if derivation in each.routes)
            faults.append(
                f"{backend.title} (backend {backend.name!r}) has no route to {derivation} a video; the backends that "
                f"have: {able}"
            )
        if given or request.cameos or request.storyboard or request.input_reference:
            faults.append(f"all but its prompt a {derivation} takes from its source")
        return faults
    for name in given:
        if name not in backend.parameters:
            faults.append(f"{backend.title} takes no {name}" + _alternative(name, backend))
    own = _arguments_by_field(request, backend)
    faults += [
        f"extra_body repeats {argument}: use the argument of that name"
        for wire, argument in own.items()
        if wire in request.extra_body
    ]
    if backend.extras == "refused" and set(request.extra_body) - backend.further - set(own):
        faults.append(f"{backend.title} takes no extra_body: what it does not know would be refused or lost")
    if request.input_reference is not None and backend.picture is None:
        faults.append(f"{backend.title} takes no picture to begin from")
    return faults


def _arguments_by_field(request: VideoRequest, backend: Backend) -> dict[str, str]:
    """Fields that ``extra_body`` must not write over, and what they come from."""
    by_field = {wire: name for name, wire in backend.parameters.items()} | {backend.seconds_name: "seconds"}
    by_field |= {name: name for name in backend.parameters}
    if request.input_reference is not None and backend.picture is not None:
        by_field[backend.picture.name] = "input_reference"
    if request.cameos and backend.cameos == "characters":
        by_field["characters"] = "cameos"
    return by_field


def _alternative(name: str, backend: Backend) -> str:
    if name == "style":
        return ": write the style into the prompt"
    if name == "negative_prompt":
        return ": say in the prompt what is to be seen instead"
    if backend.extras == "refused":
        return ": leave it out"
    return f": leave it out, or if this server does take it, put it into extra_body={{{name!r}: …}}"


def _faults_of_reference(request: VideoRequest, backend: Backend) -> list[str]:
    """A server that knows no characters is given one's picture and description."""
    faults: list[str] = []
    if backend.picture is None:
        faults.append(f"{backend.title} knows no characters and takes no picture that could stand for one")
    if len(request.cameos) > 1:
        faults.append(f"{backend.title} takes one picture, which can stand for one cameo, not {len(request.cameos)}")
    if request.input_reference is not None:
        faults.append(
            f"{backend.title} takes one picture: either a cameo's or input_reference (a scene that goes on from the "
            "last frame has one: use continuity='none', or show the cameo in the first scene)"
        )
    for cameo in request.cameos:
        if cameo.picture is None or not cameo.description:
            faults.append(
                f"{backend.title} knows no characters: a cameo is sent as its picture and description, so cameos takes "
                f"the output of SoraCreateCameoOperator with a description, not {cameo.reference!r}"
            )
    return faults


def _with_reference(request: VideoRequest, read_picture: ReadPicture) -> VideoRequest:
    (cameo,) = request.cameos
    told = replace(_rewritten(request, lambda cameo: cameo.description), cameos=())
    return replace(told, input_reference=read_picture(cameo.picture or ""))


def _as_mentioned(request: VideoRequest, backend: Backend) -> VideoRequest:
    """OpenAI's characters are mentioned by their bare names, the article's cameos by ``@name``."""
    sign = "@" if backend.cameos == NATIVE else ""
    return _rewritten(request, lambda cameo: f"{sign}{cameo.name}")


def _rewritten(request: VideoRequest, write: Callable[[Cameo], str]) -> VideoRequest:
    def rewritten(text: str) -> str:
        return with_mentions(text, request.cameos, write) if "@" in text else text

    storyboard = request.storyboard
    if storyboard is not None:
        scenes = tuple(replace(scene, prompt=rewritten(scene.prompt)) for scene in storyboard.scenes)
        storyboard = replace(storyboard, scenes=scenes)
    return replace(request, prompt=rewritten(request.prompt), storyboard=storyboard)
