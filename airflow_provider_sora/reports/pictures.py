"""Pictures of clips within a report, as far as its size allows. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_sora.media.frames import picture_type
from airflow_provider_sora.rollouts.exposure import Variant

#: Bytes of markup around each picture, at most.
_AROUND = 400


@dataclass(frozen=True, kw_only=True)
class PairPictures:
    """What a report shows of a pair of clips; None where there is no clip, or none could be made of it.

    :param baseline_sheet: frames of the baseline's clip in one picture: PNG, JPEG or WebP.
    :param candidate_sheet: the same of the candidate's.
    :param baseline_preview: a small MP4 of the baseline's clip, encoded anew, so that nothing in it tells its origin.
    :param candidate_preview: the same of the candidate's.
    :param has_more_sheets: whether there are sheets of it that are not here, for want of room.
    :param has_more_previews: the same of previews.
    """

    baseline_sheet: bytes | None = None
    candidate_sheet: bytes | None = None
    baseline_preview: bytes | None = None
    candidate_preview: bytes | None = None
    has_more_sheets: bool = False
    has_more_previews: bool = False

    def sheet(self, side: Variant) -> str | None:
        """The frames of a side as a ``data:`` URI.

        :param side: whose.
        """
        data = self.baseline_sheet if side == "baseline" else self.candidate_sheet
        media_type = picture_type(data) if data else None
        return None if data is None or media_type is None else _data_uri(data, media_type)

    def preview(self, side: Variant) -> str | None:
        """The preview of a side as a ``data:`` URI.

        :param side: whose.
        """
        data = self.baseline_preview if side == "baseline" else self.candidate_preview
        return None if not data else _data_uri(data, "video/mp4")


@dataclass(frozen=True, kw_only=True)
class Enclosed:
    """The pairs of which a report holds pictures: always those of both sides, or of none.

    :param sheets: names of the pairs with their sheets.
    :param previews: names of the pairs with their previews.
    :param missing_sheets: pairs whose sheets found no room.
    :param missing_previews: pairs whose previews found no room.
    """

    sheets: frozenset[str] = frozenset()
    previews: frozenset[str] = frozenset()
    missing_sheets: int = 0
    missing_previews: int = 0


def pair_name(key: str, repeat: int) -> str:
    """What a pair is called among the pictures.

    :param key: of its prompt.
    :param repeat: number of the repeat, from 1.
    """
    return f"{key}.{repeat}"


def enclosed(order: Sequence[str], pictures: Mapping[str, PairPictures], *, room: int) -> Enclosed:
    """Which pictures fit: first the sheets of all, then previews; a pair that is too large makes room for the next.

    :param order: names of the pairs, those first that matter most.
    :param pictures: by the name of the pair.
    :param room: bytes of the report that are left for pictures.
    """
    known = [(name, pictures[name]) for name in order if name in pictures]
    sheets = {name: _cost(each.baseline_sheet, each.candidate_sheet) for name, each in known}
    previews = {name: _cost(each.baseline_preview, each.candidate_preview) for name, each in known}
    with_sheets, room = _fitting(sheets, room)
    with_previews, _ = _fitting(previews, room)
    return Enclosed(
        sheets=with_sheets,
        previews=with_previews,
        missing_sheets=sum(each.has_more_sheets or sheets[name] > 0 for name, each in known) - len(with_sheets),
        missing_previews=sum(each.has_more_previews or previews[name] > 0 for name, each in known) - len(with_previews),
    )


def _fitting(costs: Mapping[str, int], room: int) -> tuple[frozenset[str], int]:
    fitting = set()
    for name, cost in costs.items():
        if 0 < cost <= room:
            fitting.add(name)
            room -= cost
    return frozenset(fitting), room


def _cost(*files: bytes | None) -> int:
    """Bytes that files take in a report; 0 where there are none."""
    return sum(-(-len(data) // 3) * 4 + _AROUND for data in files if data)


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"
