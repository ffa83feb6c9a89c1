"""What a model card says in words: what each trained artifact is for, and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.artifact import Artifact
from ..core.section import Section

Sections = Mapping[str, Section]
Words = Callable[[Sections, Mapping[str, Any]], list[str]]
"""Sections by key, and the artifact's metrics -> sentences."""


@dataclass(frozen=True)
class CardText:
    """The words of one kind of artifact."""

    title: str
    tags: tuple[str, ...]
    use: tuple[str, ...]
    limits: Words


def _retriever(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    config = _values(sections, "two_tower")
    return [
        f"It learns from positives against sampled negatives (loss {config['loss']}, {config['neg_sampling']}). An "
        "item that a user never saw counts as one that was not chosen: what the log showed rarely is found rarely.",
        "A cosine orders items; it is no probability, and does not compare between users.",
        _unknown_users(config),
        _unknown_items(config),
        _chosen_on_validation(),
    ]


def _ranker(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    config = _values(sections, "dlrm_ranker")
    if metrics.get("train_on") == "impressions":
        what = [
            "Its score is the probability of a positive label of what the log showed. It was shown by some earlier "
            "system: items which that did not show are judged by their features alone."
        ]
    else:
        what = [
            "Its score is the probability that a candidate of this retriever is the user's next positive. It does not "
            "hold for the candidates of another retriever.",
            f"Negatives are drawn: for each positive {config['negatives']} of the retriever's candidates and "
            f"{config['random_negatives']} of the whole catalogue. An item that the user never saw counts as one that "
            "was not chosen.",
        ]
    fused = "The weights of ranker and retriever are fitted on the validation part, which valid_fused is measured on."
    return [*what, _unknown_users(config), fused, _chosen_on_validation()]


def _release(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    return [
        "It holds as a whole: transforms, towers, ranker, item snapshot and index belong together, and a part of "
        "another release is refused.",
        "Items that came after training are not in its snapshot and are never recommended.",
        "Users are read from the feature store at each request; the answer is as recent as what was pushed there.",
        "The limits of two_tower and ranker are its own; their cards name them.",
    ]


def _unknown_users(config: Mapping[str, Any]) -> str:
    return (
        f"A user that training did not see is answered from context and history; {config['id_dropout']:.0%} of the "
        "training rows showed their user as unknown to prepare for that."
    )


def _unknown_items(config: Mapping[str, Any]) -> str:
    if not config["item_id_dropout"]:
        return "An item without interactions in training has an untrained id and is placed by its other features."
    return (
        "An item without interactions in training is placed by its other features; "
        f"{config['item_id_dropout']:.0%} of the items of a step showed their id as unknown to prepare for that."
    )


def _chosen_on_validation() -> str:
    return (
        "The validation part chose the epoch, and the config where that was tuned: its metrics are optimistic. The "
        "stage `evaluation` measures the test part."
    )


def _values(sections: Sections, key: str) -> dict[str, Any]:
    return sections[key].model_dump(mode="json")


_USE = (
    "Items of the catalogue that it was trained on, for users like those of the log below.",
    "Not for decisions about people, and not to infer what a user did not tell.",
)
TEXTS: Mapping[str, CardText] = {
    "two_tower": CardText(
        "Two-tower retriever",
        ("recommendation", "retrieval", "two-tower"),
        ("Finds a few hundred candidates for a user by the inner product of two vectors; a ranker orders them.", *_USE),
        _retriever,
    ),
    "ranker": CardText(
        "DLRM ranker",
        ("recommendation", "ranking", "dlrm"),
        ("Orders the candidates of the retriever that it was trained with.", *_USE),
        _ranker,
    ),
    "export": CardText(
        "Recommender release",
        ("recommendation", "triton"),
        ("Answers requests inside Triton Inference Server: retrieval, ranking and diversity in one model.", *_USE),
        _release,
    ),
}
"""Kind of artifact -> its words; these kinds carry a card."""


def has_card(artifact: Artifact) -> bool:
    return artifact.kind in TEXTS
