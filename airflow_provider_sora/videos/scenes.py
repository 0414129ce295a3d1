"""The scenes of a storyboard as requests of their own, for servers that render one scene at a time. Pure."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_sora.videos.arguments import refusal
from airflow_provider_sora.videos.cameo import is_mentioned
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.storyboard import TIME_TOLERANCE


def scenes_of(request: VideoRequest) -> tuple[VideoRequest, ...]:
    """One request for each scene, with the cameos that its prompt mentions.

    :param request: with a storyboard.
    :raises InvalidRequestError: a scene has no whole seconds, which no server renders.
    """
    scenes = request.storyboard.scenes if request.storyboard else ()
    problems: list[str] = []
    requests: list[VideoRequest] = []
    for place, scene in enumerate(scenes, start=1):
        seconds = round(scene.seconds)
        if abs(scene.seconds - seconds) > TIME_TOLERANCE or seconds < 1:
            problems.append(f"scene {place} lasts {scene.seconds:g} s: rendered by itself it has whole seconds")
        prompt = "\n".join(filter(None, (request.prompt.strip(), scene.prompt.strip())))
        cameos = tuple(cameo for cameo in request.cameos if cameo.name is None or is_mentioned(cameo, prompt))
        requests.append(replace(request, prompt=prompt, seconds=seconds, storyboard=None, cameos=cameos))
    if problems:
        raise refusal(problems)
    return (requests[0], *(replace(each, input_reference=None) for each in requests[1:]))
