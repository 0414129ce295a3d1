"""Why a step has nothing to judge: what the messages of ``no_traffic`` say. Pure."""

from __future__ import annotations

from typing import Final

from airflow_provider_sora.rollouts.findings import Findings

#: Chances below which that the candidate got no unit is no accident, and its tasks are looked at.
_UNLIKELY: Final = 0.01


def no_candidates(findings: Findings, *, wanted: int) -> str:
    """Why no job of the candidate was judged.

    :param findings: of a step without one.
    :param wanted: jobs of the candidate that the step wants.
    """
    step = findings.step
    none = f"No job of the candidate has ended at the {step.weight} step so far, and at least {wanted} are wanted."
    given, units = findings.units_here
    if not units:
        return f"{none} See that the tasks that generate run, and that the analysis is given their manifests."
    if given:
        moderated, not_begun = findings.unjudged_here
        return (
            f"{none} Of the {given} units that it was given, a content policy stopped {moderated} jobs, and "
            f"{not_begun} were not begun or called back. The result manifests say why, job by job."
        )
    chance = f"{100 * findings.chance_of_none:.2g} %"
    if findings.chance_of_none < _UNLIKELY:
        return (
            f"{none} It was given none of {units} units, which happens by chance in {chance} of all cases. See that "
            "the tasks that generate ask this rollout for their version, and that the analysis is given the manifests "
            "of all of them."
        )
    return (
        f"{none} It was given none of {units} units, which happens by chance in {chance} of all cases at this weight: "
        "nothing has to be wrong. A unit keeps its arm, so more nights of the same units bring it none either. More "
        "units do, or a wider step."
    )


def nothing_compared(findings: Findings) -> str:
    """Why the candidate's jobs were compared with none.

    :param findings: of a step where the candidate has some.
    """
    step, jobs, baselines = findings.step, findings.candidates, findings.baselines
    if not baselines:
        return (
            f"{jobs} jobs of the candidate have ended at the {step.weight} step and none of the baseline, so they were "
            "compared with nothing. See that the analysis is given the manifests of both arms, and that the units are "
            "not so large that a night goes to one arm."
        )
    return (
        f"{jobs} jobs of the candidate and {baselines} of the baseline have ended at the {step.weight} step, but on no "
        "night both had some, so nothing was compared. Take smaller units, or give the analysis the manifests of "
        "several nights at once."
    )
