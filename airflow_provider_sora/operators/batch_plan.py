"""What a batch is about to render: its items as checked requests, before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.batches.items import InvalidItem, Item
from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.media.pictures import read_picture
from airflow_provider_sora.operators.generation import request_of
from airflow_provider_sora.videos.arguments import refusal
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.result import VideoResult
from airflow_provider_sora.videos.storyboard import Storyboard

if TYPE_CHECKING:
    from airflow_provider_sora.batches.prompts import PromptTemplate
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.media.frames import Fit
    from airflow_provider_sora.media.pictures import ReadPicture
    from airflow_provider_sora.operators.batch_versions import Versions
    from airflow_provider_sora.operators.version_choice import Version
    from airflow_provider_sora.videos.record import SubmissionRecord

#: Items that are checked at the same time, since their pictures are read for it.
_AT_ONCE = 8

#: Pictures that are held: items of one batch often share one.
_PICTURES = 8

_PREFIX = "Nothing was submitted: "


@dataclass(frozen=True, kw_only=True)
class Clip:
    """An item that can be rendered.

    :param item: the item.
    :param prompt: what its prompt came to.
    :param fingerprint: of its request.
    :param seconds: its length, None where only the server knows it.
    :param price: of one submission.
    """

    item: Item
    prompt: str
    fingerprint: str
    seconds: int | None
    price: Price


class Planner:
    """Makes requests of items. It holds no request: a thousand of them are made again when they are sent.

    :param hook: the server.
    :param defaults: the operator's arguments, by name, for what an item does not give.
    :param template: makes the prompts.
    :param context: the task's, for the template.
    :param versions: which version renders an item.
    :param under_way: records of items whose job may be running, or is done, and which begin from a picture; by key.
    """

    def __init__(
        self,
        *,
        hook: SoraHook,
        defaults: Mapping[str, Any],
        template: PromptTemplate,
        context: Mapping[str, Any],
        versions: Versions,
        under_way: Mapping[str, SubmissionRecord],
    ) -> None:
        self._hook = hook
        self._defaults = defaults
        self._template = template
        self._context = context
        self.versions = versions
        self._under_way = under_way
        self._read_picture = lru_cache(_PICTURES)(read_picture)

    def plan(self, items: Sequence[Item]) -> tuple[list[Clip], list[InvalidItem]]:
        """Check every item, all that is wrong with it, and what it costs.

        :param items: in the order in which they are to be submitted.
        :return: clips and invalid items, in the same order.
        :raises SoraError: something is wrong that is no item's fault.
        """
        # Not in threads: a template may reach through the context to Airflow.
        prompts = [self._prompt(item) for item in items]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="plan") as pool:
            checked = list(pool.map(self._checked, items, prompts))
        return (
            [each for each in checked if isinstance(each, Clip)],
            [each for each in checked if isinstance(each, InvalidItem)],
        )

    def request(self, item: Item, prompt: str, *, read_picture: ReadPicture | None = None) -> VideoRequest:
        """What is asked for an item. Its picture is read again where it is sent.

        :param item: the item.
        :param prompt: what its prompt came to.
        :param read_picture: reads its picture; None for the one that it names.
        :raises InvalidRequestError: it cannot be sent.
        """
        arguments = {**self._defaults, **item.arguments, "prompt": prompt}
        scenes, render_as = arguments.pop("scenes", None), arguments.pop("render_as", None)
        if render_as == "stitch":
            raise refusal(["a job for each scene is not for batches: use SoraStoryboardOperator"])
        storyboard = None if scenes is None else Storyboard.parse(scenes)
        if storyboard is not None and "seconds" not in item.arguments:
            arguments["seconds"] = None
        return request_of(
            arguments, storyboard=storyboard, render_as=render_as, read_picture=read_picture or self._picture
        )

    def planned(self, item: Item, request: VideoRequest, *, version: Version | None = None) -> VideoResult:
        """The record of a clip that is about to be submitted.

        :param item: the item.
        :param request: what is asked for.
        :param version: what renders it; None for what was settled when the batch began.
        """
        resolution, snapshot = version or self.versions.of(item)
        account = self._hook.settings.account
        return VideoResult.planned(version=resolution, request=request, snapshot=snapshot, account=account)

    def _prompt(self, item: Item) -> str | InvalidItem:
        try:
            return self._template.prompt_of(item, self._context)
        except InvalidRequestError as error:
            return InvalidItem(place=item.place, key=item.key, faults=(str(error),), labels=item.labels)

    def _checked(self, item: Item, prompt: str | InvalidItem) -> Clip | InvalidItem:
        if isinstance(prompt, InvalidItem):
            return prompt
        try:
            request = self._request_to_check(item, prompt)
            sent = self._hook.render(request).request
            for snapshot in self.versions.snapshots(item):
                sent.check(snapshot, catalog=self._hook.catalog)
        except InvalidRequestError as error:
            fault = str(error).removeprefix(_PREFIX).rstrip(".")
            return InvalidItem(place=item.place, key=item.key, faults=(fault,), labels=item.labels)
        usage = self.planned(item, request).usage
        return Clip(
            item=item,
            prompt=prompt,
            fingerprint=self._fingerprint(item, request),
            seconds=request.seconds,
            price=Price(cost_usd=usage["estimated_cost_usd"], quota_units=usage["quota_units"]),
        )

    def _fingerprint(self, item: Item, request: VideoRequest) -> str:
        return request.fingerprint(
            reference=self.versions.reference(item),
            environment=self._hook.environment.name,
            account=self._hook.settings.account,
        )

    def _request_to_check(self, item: Item, prompt: str) -> VideoRequest:
        """What is asked for, with the picture on record where it cannot be read any more.

        A link to a picture is valid for hours, and a job that it went into may still be fetched after that.
        """
        try:
            return self.request(item, prompt)
        except InvalidRequestError:
            if (record := self._under_way.get(item.key)) is None:
                raise
            sent = record.result["request"]["input_reference"]

            def read(source: str | bytes, *, size: str | None = None, fit: Fit | None = None) -> InputReference:
                return InputReference(name=sent["name"], media_type=sent["media_type"], source=sent["sha256"])

            request = self.request(item, prompt, read_picture=read)
            if self._fingerprint(item, request) != record.fingerprint:
                raise
            return request

    def _picture(self, source: str | bytes, *, size: str | None = None, fit: Fit | None = None) -> InputReference:
        """A picture of which only the hash is held."""

        def make() -> bytes:
            return self._read_picture(source, size=size, fit=fit).data

        picture = self._read_picture(source, size=size, fit=fit)
        return replace(picture, data=b"", source=picture.to_dict()["sha256"], make=make)
