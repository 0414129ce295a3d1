"""The words in which a comparison tells what it found. Pure."""

from __future__ import annotations

import math

from airflow_provider_sora.evaluation.criteria import FEWEST_PROMPTS
from airflow_provider_sora.evaluation.metrics import Metric
from airflow_provider_sora.evaluation.samples import Sample
from airflow_provider_sora.evaluation.signed_rank import Shift

#: A p-value below it is not worth its digits.
_SMALL = 0.0001


def seen(sample: Sample, difference: Shift) -> str:
    """What was seen, without a full stop.

    :param sample: the values.
    :param difference: what they come to.
    """
    metric = sample.metric
    if metric.scale != "share":
        number = _number(metric, difference.estimate)
        return f"The candidate {metric.says.format(number)} ({_limits(metric, difference, sample.prompts)})"
    return (
        f"The candidate {metric.says} on {sample.worse} of {_prompts(sample.prompts)}, the baseline on "
        f"{sample.better}: a difference of {100 * difference.estimate:+.1f} points (95 % limits "
        f"{100 * difference.lower:+.1f} and {100 * difference.upper:+.1f})"
    )


def allowed(metric: Metric, limit: float) -> str:
    """What is allowed, without a full stop.

    :param metric: of the limit.
    :param limit: of the criteria.
    """
    if metric.scale == "share":
        return f"up to {100 * limit:g} points are allowed"
    if metric.scale == "difference":
        if metric.better == "none":
            return f"up to {_with_unit(metric, f'{limit:g}')} either way is allowed"
        way, sign = ("down", "-") if metric.better == "higher" else ("up", "+")
        return f"{way} to {_with_unit(metric, f'{sign}{limit:g}')} is allowed"
    least, most = f"{1 / (1 + limit):.2f}", f"{1 + limit:.2f}"
    if metric.better == "none":
        return f"{least} to {most} times is allowed"
    return f"down to {least} times is allowed" if metric.better == "higher" else f"up to {most} times is allowed"


def beyond_chance(p_value: float) -> str:
    """Why a criterion fails.

    :param p_value: of the test.
    """
    return f"That is more than chance explains ({_p(p_value)})."


def one_of_many(p_value: float, judged: int) -> str:
    """Why a criterion does not fail although its p-value is small.

    :param p_value: of the test.
    :param judged: criteria that are judged.
    """
    return f"Among {judged} criteria that may be chance ({_p(p_value)})."


def what_settles(sample: Sample, difference: Shift, needed: int | None, *, least: int) -> str:
    """What to do about a criterion that is inconclusive.

    :param sample: the values.
    :param difference: what they come to.
    :param needed: prompts that would settle it, if they are as these are; None where that cannot be told.
    :param least: prompts below which nothing passes.
    """
    if math.isinf(difference.upper):
        return f"It takes {FEWEST_PROMPTS} prompts for limits, and {least} to pass."
    if needed is None:
        return "More prompts like these would not settle it: a person has to decide."
    return f"That does not settle it; about {needed:,} prompts would, if they are as these {sample.prompts} are."


def without(metric: Metric) -> str:
    """What it means that a criterion which counts in any case has nothing to go by.

    :param metric: of the criterion.
    """
    return (
        f"Without it the {metric.group} does not pass. Who can do without it sets its limit to None: "
        f'limits={{"{metric.name}": None}}.'
    )


def multiplicity(judged: int, *, alpha: float) -> tuple[str, ...]:
    """How it is allowed for that several criteria are judged at once, in sentences.

    :param judged: how many.
    :param alpha: of the criteria.
    """
    return (
        f"{judged} {'criterion is' if judged == 1 else 'criteria are'} judged. Those that fail do so together after "
        f"Holm, so that a candidate which is as good as the baseline fails by chance in at most {100 * alpha:g} of 100 "
        "comparisons, however many criteria there are.",
        "To pass, each criterion has to by itself, at one-sided 95 %. That needs no correction: for all of them to "
        "pass by chance is no likelier than for one.",
    )


def _limits(metric: Metric, difference: Shift, prompts: int) -> str:
    if math.isinf(difference.upper):
        return f"without limits, on only {_prompts(prompts)}"
    lower, upper = (_bare(metric, each) for each in (difference.lower, difference.upper))
    return f"95 % limits {lower} and {upper}, {_prompts(prompts)}"


def _number(metric: Metric, value: float) -> str:
    return _bare(metric, value) if metric.scale == "ratio" else _with_unit(metric, _bare(metric, value))


def _bare(metric: Metric, value: float) -> str:
    return f"{value:.2f}" if metric.scale == "ratio" else f"{value:+.3g}"


def _with_unit(metric: Metric, number: str) -> str:
    return f"{number} {metric.unit}" if metric.unit else number


def _prompts(number: int) -> str:
    return f"{number:,} prompt{'' if number == 1 else 's'}"


def _p(p_value: float) -> str:
    return f"p below {_SMALL}" if p_value < _SMALL else f"p = {p_value:.2g}"
