"""cascade: NVIDIA Merlin's multi-stage recommender made deployable."""

__version__ = "0.1.0"
