"""Keys of the ranker that apply only together with another one."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.suggest import nearest
from ...evaluation.config import IMPRESSION_BASELINES
from ..pipeline import PipelineConfig

RESERVED = ("user_id", "item_id", "timestamp", "label", "positive", "split")
"""Columns of interactions that cannot be further labels."""


def ranker_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about interactions, target attention, transitions, labels, the order and the baselines of impressions."""
    yield from _cross(config)
    yield from _target_attention(config)
    yield from _transitions(config)
    yield from _labels(config)
    yield from _order(config)
    yield from _impression_baselines(config)


def _cross(config: PipelineConfig) -> Iterator[str]:
    ranker = config.dlrm_ranker
    if ranker.interactions != "cross" and ranker.cross != type(ranker.cross)():
        yield (
            f"dlrm_ranker.cross: applies only to dlrm_ranker.interactions: cross, which is {ranker.interactions}: "
            "set that to cross, or leave dlrm_ranker.cross out"
        )


def _target_attention(config: PipelineConfig) -> Iterator[str]:
    history, key = config.dlrm_ranker.history, "dlrm_ranker.history"
    for name in ("heads", "features"):
        if history.kind != "target_attention" and getattr(history, name) != getattr(type(history)(), name):
            yield (
                f"{key}.{name}: applies only to {key}.kind: target_attention, which is {history.kind}: set that to "
                f"target_attention, or leave {key}.{name} out"
            )


def _transitions(config: PipelineConfig) -> Iterator[str]:
    transitions, key, length = config.dlrm_ranker.transitions, "dlrm_ranker.transitions", config.history.items()
    if transitions.last > length:
        yield f"{key}.last: is {transitions.last}, must be at most history.length, which is {length}"
    if not transitions.last and transitions.window != type(transitions)().window:
        yield f"{key}.window: applies only if {key}.last is above 0: set that, e.g. to 5, or leave {key}.window out"


def _labels(config: PipelineConfig) -> Iterator[str]:
    ranker, known = config.dlrm_ranker, ["label", *config.data.labels]
    for name in config.data.labels:
        if name in RESERVED:
            yield f"data.labels: {name!r} has another meaning in interactions; name further columns of 0 and 1"
    for name in ranker.labels:
        if name not in known:
            yield f"dlrm_ranker.labels.{name}: {name!r} is not in data.labels; {nearest(name, known)}"
    if ranker.labels and ranker.train_on == "candidates":
        yield (
            "dlrm_ranker.labels: are learned from impressions, but dlrm_ranker.train_on is candidates: "
            "leave one of them out"
        )
    if ranker.labels and ranker.positive_weight != 1:
        yield (
            "dlrm_ranker.positive_weight: applies to a single label, but dlrm_ranker.labels is given: "
            "set dlrm_ranker.labels.<name>.positive_weight for each label instead"
        )


def _order(config: PipelineConfig) -> Iterator[str]:
    ranker = config.dlrm_ranker
    if ranker.order_by == "fused" and ranker.calibration == "none":
        yield (
            "dlrm_ranker.order_by: fused needs weights, which dlrm_ranker.calibration: none does not fit: set "
            "dlrm_ranker.calibration: platt, or dlrm_ranker.order_by: dlrm"
        )
    if ranker.order_by != "auto" and ranker.choose_by != type(ranker).model_fields["choose_by"].default:
        yield (
            f"dlrm_ranker.choose_by: applies only to dlrm_ranker.order_by: auto, which is {ranker.order_by}: set that "
            "to auto, or leave dlrm_ranker.choose_by out"
        )
    if ranker.train_on != "both" and ranker.list_weight != type(ranker).model_fields["list_weight"].default:
        yield (
            f"dlrm_ranker.list_weight: applies only to dlrm_ranker.train_on: both, which is {ranker.train_on}: set "
            "that to both, or leave dlrm_ranker.list_weight out"
        )


def _impression_baselines(config: PipelineConfig) -> Iterator[str]:
    named = [name for name in config.evaluation.baselines or [] if name in IMPRESSION_BASELINES]
    if named and config.dlrm_ranker.train_on == "candidates":
        yield (
            f"evaluation.baselines: {' and '.join(named)} predict logged impressions, but dlrm_ranker.train_on is "
            "candidates: leave them out, or set dlrm_ranker.train_on: impressions"
        )
