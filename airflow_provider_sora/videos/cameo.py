"""Characters that clips share, and where prompts mention them."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_sora.videos.arguments import is_text, refusal

#: What the article's API takes, as the emulator of it does.
MAX_NAME = 80
MAX_DESCRIPTION = 2000
MAX_PICTURES = 10

#: Scripts that put no space between two words, by how Unicode names their letters.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")

_AT = re.compile(r"(?<!@)@@?(?=\w)")


@dataclass(frozen=True, kw_only=True)
class Cameo:
    """A character, as far as it is known.

    :param reference: what the author wrote: an id or a name.
    :param id: the server's id, None where it is not known or where the server has none.
    :param name: what prompts mention after ``@``, None where it is not known.
    :param description: what it looks like.
    :param snapshot: the version that it was made for.
    :param picture: path or URL of its first picture.
    :param made_as: how its server takes it, ``native``, ``characters`` or ``reference``; None where it is not known.
    """

    reference: str
    id: str | None = None
    name: str | None = None
    description: str = ""
    snapshot: str | None = None
    picture: str | None = None
    made_as: str | None = None

    @classmethod
    def parse(cls, value: object, problems: list[str]) -> Cameo | None:
        """Read one entry of an operator's ``cameos``.

        :param value: an id, a name, or the output of a task that made a cameo.
        :param problems: gets a sentence where it is something else.
        """
        if isinstance(value, Cameo):
            return value
        if isinstance(value, str) and value.lstrip().startswith("{"):
            problems.append(
                "a cameo is the text of a task's whole output, which a template made: pass the output itself"
            )
            return None
        if isinstance(value, str) and value.strip():
            return cls(reference=value.strip())
        try:
            return cls._of_output(value)
        except (KeyError, TypeError, AttributeError, IndexError):
            problems.append(f"a cameo is an id, a name or the output of a task that made one, not {value!r}")
        return None

    @classmethod
    def _of_output(cls, output: Any) -> Cameo:
        cameo_id, name, description = output["cameo_id"], output["name"], output.get("description") or ""
        pictures = output.get("reference_images") or [{}]
        if not (isinstance(name, str) and isinstance(cameo_id or "", str) and isinstance(description, str)):
            raise TypeError("not the output of a task that made a cameo")
        return cls(
            reference=cameo_id or name,
            id=cameo_id or None,
            name=name,
            description=description,
            snapshot=(output.get("version") or {}).get("snapshot"),
            picture=pictures[0].get("uri"),
            made_as=output.get("rendered_as"),
        )

    def to_dict(self) -> dict[str, Any]:
        """What an XCom says of it."""
        told = {"id": self.id or self.reference, "name": self.name, "snapshot": self.snapshot}
        if self.id is None and self.picture is not None:
            # Then these two decide what is rendered, and no server's id stands for them.
            told |= {"description": self.description, "picture": self.picture}
        return told


def check_new_cameo(name: object, description: object, pictures: object) -> None:
    """Refuse what no server would make a cameo of.

    :param name: what prompts are to mention after ``@``.
    :param description: what it looks like; may be empty.
    :param pictures: their paths.
    :raises InvalidRequestError: with every fault.
    """
    problems: list[str] = []
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME or "@" in name or not is_text(name):
        problems.append(f"the name of a cameo has 1 to {MAX_NAME} characters and no @, unlike {name!r}")
    elif name != name.strip() or not re.match(r"\w", name):
        problems.append(
            f"the name of a cameo begins with a letter or digit and has no space around it, unlike {name!r}"
        )
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION or not is_text(description):
        problems.append(f"the description of a cameo is a text of at most {MAX_DESCRIPTION:,} characters")
    if not isinstance(pictures, list | tuple) or not 1 <= len(pictures) <= MAX_PICTURES:
        problems.append(f"a cameo is made of 1 to {MAX_PICTURES} pictures: reference_images lists their paths")
    elif not all(isinstance(each, str) and each for each in pictures):
        problems.append("reference_images are paths or URLs")
    if problems:
        raise refusal(problems)


def digest_of_cameo(*, name: str, description: str, pictures: Sequence[str], account: str) -> str:
    """A name for everything that a cameo is made of, and where.

    :param name: what prompts mention.
    :param description: what it looks like.
    :param pictures: their hashes.
    :param account: whose account it is, without any secret.
    :return: ``sha256:`` and 64 hexadecimal digits.
    """
    canonical = json.dumps([name, description, list(pictures), account], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def completed(cameos: Sequence[Cameo], known: Sequence[Cameo]) -> tuple[Cameo, ...]:
    """Cameos with the ids and names of a server's list.

    :param cameos: as their author wrote them.
    :param known: what the server lists.
    :raises InvalidRequestError: one of them is none of the server's, or its name is the name of several.
    """
    found: list[Cameo] = []
    problems: list[str] = []
    for cameo in cameos:
        same = [each for each in known if each.id == (cameo.id or cameo.reference)]
        if not same and cameo.id is None:
            wanted = _normal(cameo.name or cameo.reference)
            same = [each for each in known if each.name is not None and _normal(each.name) == wanted]
        if len(same) > 1:
            ids = ", ".join(str(each.id) for each in same)
            problems.append(f"the server has {len(same)} cameos named {cameo.reference!r}: write the id, one of {ids}")
        elif not same:
            names = ", ".join(f"{each.name} ({each.id})" for each in known) or "none"
            problems.append(f"the server has no cameo {cameo.reference!r}; it has {names}")
        else:
            found.append(replace(cameo, id=same[0].id, name=cameo.name or same[0].name))
    problems += faults_of_repetition(found)
    if problems:
        raise refusal(problems)
    return tuple(found)


def faults_of_repetition(cameos: Sequence[Cameo]) -> list[str]:
    """What is wrong where one cameo is there twice, or two share a name.

    :param cameos: all that take part.
    """
    for given in ([each.id or each.reference for each in cameos], [_normal(each.name) for each in cameos if each.name]):
        if twice := sorted({each for each in given if given.count(each) > 1}):
            return [f"cameos has {', '.join(twice)} twice"]
    return []


def faults_of_mentions(text: str, cameos: Sequence[Cameo]) -> list[str]:
    """What is wrong with a prompt's mentions: of nobody, or none of a cameo that is there to be paid for.

    Where the name of a cameo is not known, a mention may be its own, and is let through.

    :param text: the prompt.
    :param cameos: all that take part.
    """
    named = {_normal(cameo.name): cameo for cameo in cameos if cameo.name is not None}
    found: set[str] = set()
    unknown: list[str] = []
    for mention in _mentions(text, tuple(named)):
        if mention in named:
            found.add(mention)
        elif mention not in unknown:
            unknown.append(mention)
    faults: list[str] = []
    if len({_surely_of_name(word) for word in unknown}) > len(cameos) - len(named):
        known = f"there are {', '.join('@' + name for name in named)}" if named else "cameos names none"
        faults.append(
            f"the prompt mentions {', '.join('@' + name for name in unknown)}, but {known} (write @@ for a plain @)"
        )
    faults += [f"the prompt does not mention the cameo @{name}" for name in named if name not in found]
    return faults


def is_mentioned(cameo: Cameo, text: str) -> bool:
    """Whether a prompt mentions a cameo whose name is known.

    :param cameo: the cameo.
    :param text: the prompt.
    """
    name = _normal(cameo.name or "")
    return name in _mentions(text, (name,))


def with_mentions(text: str, cameos: Sequence[Cameo], write: Callable[[Cameo], str]) -> str:
    """A prompt with each mention of a cameo written in another way, and ``@@word``, which is no mention, as ``@word``.

    :param text: the prompt.
    :param cameos: all that take part.
    :param write: what takes the place of ``@name``.
    """
    named = {_normal(cameo.name): cameo for cameo in cameos if cameo.name is not None}
    text, written, position = _normal(text), [], 0
    for start, end in _signs(text):
        name = _name_at(text, end, tuple(named))
        if end - start == 2:
            written += [text[position:start], "@"]
            position = end
        elif start >= position and name in named:
            written += [text[position:start], write(named[name])]
            position = end + len(name)
    return "".join([*written, text[position:]])


def _mentions(text: str, names: tuple[str, ...]) -> list[str]:
    text = _normal(text)
    return [_name_at(text, end, names) for start, end in _signs(text) if end - start == 1]


def _signs(text: str) -> list[tuple[int, int]]:
    """Where an ``@`` that begins a mention is, or the ``@@`` that stands for a plain one: not inside of a word."""
    return [
        match.span() for match in _AT.finditer(text) if _parts_words(text[max(match.start() - 1, 0) : match.start()])
    ]


def _name_at(text: str, position: int, names: tuple[str, ...]) -> str:
    """The longest name that begins here, else the word that does."""
    for name in sorted(names, key=len, reverse=True):
        if text.startswith(name, position) and _ends_at(text, position + len(name)):
            return name
    end = position
    while end < len(text) and _is_of_word(text[end]):
        end += 1
    return text[position:end]


def _ends_at(text: str, position: int) -> bool:
    """Whether a name may end here: ``@Ann`` is not in ``@Anna``, but ``@小橘猫`` is in ``@小橘猫坐在窗边``."""
    after = text[position : position + 1]
    return not _is_mark(after) and _parts_words(after)


def _surely_of_name(word: str) -> str:
    """The part of an unknown word that is the same in each mention of one name: what follows it may be glued to it."""
    spaced = next((place for place, each in enumerate(word) if _parts_words(each)), len(word))
    return word[: max(spaced, 1)]


def _parts_words(beside: str) -> bool:
    """Whether a name may stand beside this character, or beside none."""
    return not _is_of_word(beside) or unicodedata.name(beside, "").startswith(_WITHOUT_SPACES)


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or _is_mark(character)


def _is_mark(character: str) -> bool:
    """Whether it belongs to the letter before it, as vowels and tones of many scripts do."""
    return character != "" and unicodedata.category(character).startswith("M")


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
