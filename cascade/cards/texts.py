"""The sentences of a model card: intended use and limits of each kind of trained artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.artifact import Artifact
from ..core.section import Section

Sections = Mapping[str, Section]
Limits = Callable[[Sections, Mapping[str, Any]], list[str]]
"""Config sections by key, and the metrics of the artifact -> sentences."""


@dataclass(frozen=True)
class CardText:
    """The sentences of one kind of artifact."""

    title: str
    tags: tuple[str, ...]
    use: tuple[str, ...]
    limits: Limits


def _retriever(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    chosen = metrics.get("variants", {})
    changed = chosen.get("changed", {})
    config = _values(sections, "two_tower") | changed
    settings = ", ".join(f"{key}: {value}" for key, value in changed.items())
    return [
        *([f"two_tower.auto has changed the configured towers ({chosen['chosen']}: {settings})."] if changed else []),
        f"It is trained on positives and sampled negatives (loss {config['loss']}, {config['neg_sampling']}). "
        "An item that a user never saw counts as not chosen, so items that the log rarely showed are rarely retrieved.",
        "Its score orders the items of one user. It is no probability and cannot be compared between users.",
        _unknown_users(config),
        _unknown_items(config),
        _chosen_on_validation(),
    ]


def _ranker(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    config = _values(sections, "dlrm_ranker")
    if metrics.get("train_on") != "candidates":
        what = [
            "Its score is the probability of a positive label for an item that the log showed. An earlier system chose "
            "what to show; items that it never showed are judged only by their features."
        ]
    else:
        what = [
            "Its score is the probability that a candidate of this retriever is the user's next positive. It does not "
            "hold for candidates of another retriever.",
            f"Negatives are sampled: for each positive, {config['negatives']} of the retriever's candidates and "
            f"{config['random_negatives']} items of the whole catalogue. An item that the user never saw counts as not "
            "chosen.",
        ]
    fused = (
        "The weights that combine the scores of ranker and retriever are fitted on the validation part, on which "
        "valid_fused is measured."
    )
    if metrics.get("order") == "retriever":
        fused = "It is not part of the release: the calibrated score of the retriever orders the list, see the notices."
    return [*what, _unknown_users(config), fused, _chosen_on_validation()]


def _release(sections: Sections, metrics: Mapping[str, Any]) -> list[str]:
    return [
        "Transforms, towers, ranker, item snapshot and index belong together; parts of another release are refused.",
        "Items that were added after the training are not in its snapshot and are never recommended.",
        "User features are read from the feature store at each request; they are as recent as the last push.",
        "The limits of the retriever and the ranker apply as well, see their cards.",
    ]


def _unknown_users(config: Mapping[str, Any]) -> str:
    return (
        "A user who is not in the training data is answered from context and history. To prepare for that, the user id "
        f"was hidden in {config['id_dropout']:.0%} of the training rows."
    )


def _unknown_items(config: Mapping[str, Any]) -> str:
    if not config["item_id_dropout"]:
        return "An item without interactions in training has an untrained id embedding; its other features place it."
    return (
        "An item without interactions in training is placed by its other features. To prepare for that, the id of "
        f"{config['item_id_dropout']:.0%} of the items in each batch was hidden."
    )


def _chosen_on_validation() -> str:
    return (
        "The epoch, and the config if it was tuned, were chosen on the validation part, so validation metrics are "
        "optimistic. The stage `evaluation` measures the test part."
    )


def _values(sections: Sections, key: str) -> dict[str, Any]:
    return sections[key].model_dump(mode="json")


_USE = (
    "For items of the catalogue that it was trained on, and for users like those in the training data below.",
    "Not for decisions about people, and not to infer what users have not disclosed.",
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
"""Kind of artifact -> its sentences. Only these kinds have a card."""


def has_card(artifact: Artifact) -> bool:
    """Whether artifacts of this kind have a model card."""
    return artifact.kind in TEXTS
