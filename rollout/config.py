"""The config sections of releases."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..core.section import Section


class GatesConfig(Section):
    """When `cascade release verify` lets a release pass.

    Margins say how much worse than the live release a candidate may be. They are compared with the end of a 95 %
    interval, so chance alone fails a release seldom.
    """

    users: int = Field(default=5000, ge=1)
    """Largest number of held-out users that both releases answer; of more, a random sample. Two trainings on
    MovieLens 100k are compared to 5 % of NDCG with its 943 users, so 5,000 give about 2 %. Unit: users. Example:
    ``20000``."""
    min_users: int = Field(default=200, ge=1)
    """With fewer held-out users, the gates that compare answers are inconclusive: an interval from fewer users is wider
    than any margin that makes sense. Unit: users. Example: ``1000``."""
    quality_margin: float = Field(default=0.05, ge=0, lt=1)
    """Largest loss of NDCG@10 and of recall@10, as a share of the live release's value. A smaller margin needs
    more users than many test parts have, see ``users``, and would be inconclusive. Example: ``0.02``."""
    min_slice_users: int = Field(default=100, ge=1)
    """A slice with fewer held-out users is not judged. Unit: users. Example: ``50``."""
    slice_margin: float = Field(default=0.2, ge=0, lt=1)
    """The same as ``quality_margin`` for each slice. It is larger, because a slice has fewer users and there are many
    slices; a segment that is broken loses far more. Example: ``0.1``."""
    calibration_margin: float = Field(default=0.25, ge=0)
    """How much larger than the live release's calibration error a candidate's may be, as a share of the live release's
    mean probability. Two trainings on the same data differed by 0.03, on MovieLens 100k and in the synthetic shop.
    Example: ``0.1``."""
    min_index_recall: float = Field(default=0.9, ge=0, le=1)
    """Least share of the exact nearest items that the index finds. It is below the default of
    ``serving.ann.recall_target``, as the queries are others than those that the index was tuned with. Example:
    ``0.95``."""
    max_items_gone: float = Field(default=0.1, ge=0, le=1)
    """Largest share of the live release's items that the candidate may lack. More is rather a table that was cut off
    than a change of the assortment. Example: ``0.3``."""
    max_saturated: float = Field(default=0.1, ge=0, le=1)
    """How much larger than with the live release the share of shown scores may be that are 0 or 1 to six digits.
    Example: ``0.01``."""
    max_empty: float = Field(default=0.01, ge=0, le=1)
    """How much larger than with the live release the share of empty answers may be. Example: ``0.001``."""
    max_short: float = Field(default=0.05, ge=0, le=1)
    """The same for answers with fewer items than were asked for. Example: ``0.01``."""
    min_coverage: float = Field(default=0.5, ge=0, le=1)
    """Least coverage of the catalogue, and least number of items that share the recommendations (the exponential of
    the entropy of how often each is shown), as a share of the live release's. With another seed,
    the synthetic shop of 10,000 interactions showed 0.6 of its items. Example: ``0.8``."""
    max_score_shift: float = Field(default=3.0, ge=1)
    """Largest factor by which the odds of the shown items may be higher or lower than in the live release, at any
    decile of the scores. Two trainings on the same data differed by 1.1 on MovieLens 100k, and by 1.6 in the
    synthetic shop of 10,000 interactions. Example: ``2``."""
    max_latency_ratio: float = Field(default=2.0, gt=1)
    """Largest latency and size, as a multiple of the live release's, measured in turns in one run. Machines are noisy;
    what is slower by less is for a load test to find. Example: ``1.5``."""
    max_golden_differ: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of the golden requests whose answers may differ from those at the export, or as served from those
    offline. Items that tie within rounding may change places without that. Example: ``0.01``."""
    max_skew: float = Field(default=0.01, ge=0, lt=1)
    """Largest share of the kept requests (``server.skew_sample``) in which a column may differ from that of the data.
    It is not 0, as a push and its line in the log have not quite the same time. Example: ``0.001``."""
    min_skew_requests: int = Field(default=100, ge=1)
    """With fewer kept requests that can be compared, the gate of train/serve skew is inconclusive. Unit: requests.
    Example: ``1000``."""
    seed: int = 0
    """Seed of the sample of users and of the bootstrap. Example: ``7``."""


class CanaryConfig(Section):
    """What the users of a canary must get, beside those of the stable release in the same time.

    Margins are compared with the end of an interval that is right at every look together, so it does no harm to look
    often.
    """

    min_users: int = Field(default=200, ge=100)
    """Least number of users in each arm; with fewer, nothing is judged. A user who asks twice counts twice. Unit:
    users. Example: ``1000``."""
    planned_users: int = Field(default=10_000, ge=1)
    """Users in each arm at which differences are to be found best; they are judged before and after as well. About what
    the canary answers in a step. Unit: users. Example: ``100000``."""
    max_unavailable: float = Field(default=0.01, ge=0, lt=1)
    """Largest share of the canary's users whom the stable release has to answer, because the canary does not. Example:
    ``0.001``."""
    max_degraded: float = Field(default=0.02, ge=0, lt=1)
    """How much larger than in the stable arm the share of answers may be that are degraded, for each reason. Example:
    ``0.005``."""
    max_empty: float = Field(default=0.01, ge=0, lt=1)
    """How much larger than in the stable arm the share of empty answers may be. Example: ``0.001``."""
    max_shorter: float = Field(default=0.05, ge=0, lt=1)
    """How much larger the share of places without an item may be than in the stable arm. Example: ``0.01``."""
    max_score_shift: float = Field(default=1.0, gt=0)
    """How far the mean score of the best item may lie from that of the stable arm, either way. Another training moves
    scores without harm, so the default finds gross faults only. Unit: standard deviations over users. Example:
    ``0.3``."""
    max_latency_ratio: float = Field(default=2.0, gt=1)
    """Largest p95 and p99 of the time of a pass, as a multiple of the stable arm's. Example: ``1.3``."""
    latency_slack_ms: float = Field(default=50.0, ge=0)
    """Time that does not count, because a canary is asked through a server of its own and the stable release is not.
    On two busy cores, a release like the stable one took 6 ms more at p95, and 5 to 40 ms more at p99. So this finds
    what hangs; `cascade release verify` compares the time of each stage, without such a call. Unit: milliseconds.
    Example: ``10``."""
    look_s: float = Field(default=10.0, gt=0)
    """Time between two looks at the figures. Unit: seconds. Example: ``60``."""


class OutcomesConfig(Section):
    """What is asked of the events that `cascade events ingest` keeps, see `cascade ab status`.

    A metric is named like its event and is the number of these events of a user. ``revenue`` is the sum of a user's
    values.
    """

    goal: str = Field(default="click", min_length=1)
    """The metric that has to become better; more is better. Example: ``conversion``."""
    guards: dict[str, Literal["higher", "lower"]] = {}
    """Metrics that must not become worse, and which way each is better. Fix them before the experiment: each makes the
    others harder to decide. Example: ``{revenue: higher, complaint: lower}``."""
    planned_users: int = Field(default=10_000, ge=1)
    """Users in each arm at which differences are to be found best; they are judged before and after as well. Fix it
    before the experiment. Unit: users. Example: ``40000``."""
    pre_period_days: float = Field(default=28.0, ge=0)
    """Events of so many days before the experiment explain a part of the differences between users, which is then
    taken off (CUPED); 0 turns it off. Unit: days. Example: ``14``."""

    @model_validator(mode="after")
    def _goal_is_no_guard(self) -> Self:
        if self.goal in self.guards:
            raise ValueError(f"guards.{self.goal}: expected other metrics than the goal")
        return self


class WatchConfig(Section):
    """When `cascade serve` takes a promoted release back by itself."""

    minutes: float = Field(default=10.0, ge=0)
    """How long a release is watched after its promotion; 0 never. Unit: minutes. Example: ``60``."""
    max_error_share: float = Field(default=0.02, ge=0, lt=1)
    """Largest share of the requests that may fail by an error of the model; what is wrong with a request itself does
    not count. Example: ``0.001``."""
    min_errors: int = Field(default=20, ge=1)
    """Least number of such errors. Unit: requests. Example: ``5``."""
    max_processes: int = Field(default=5, ge=1)
    """So many processes that die or hang since the promotion take the release back. Example: ``3``."""
    every_s: float = Field(default=1.0, gt=0)
    """Time between two looks. Unit: seconds. Example: ``5``."""


class RolloutConfig(Section):
    """What happens to releases after their export."""

    keep_releases: int = Field(default=5, ge=1)
    """Number of trained releases that are kept, counted from the newest, and of refreshed ones. The stable, the
    previous and the published one are kept in any case, and so is one that a running server has. Unit: releases.
    Example: ``10``."""
    gates: GatesConfig = GatesConfig()
    """What a release must hold against the live one before it is promoted."""
    watch: WatchConfig = WatchConfig()
    """What the release that was promoted last must hold while it answers everybody."""
    canary: CanaryConfig = CanaryConfig()
    """What a canary's users must get before it answers more of them."""
    outcomes: OutcomesConfig = OutcomesConfig()
    """What users do with what they are shown, by which a canary and the arms of an A/B test are judged."""
