"""Model cards: how a trained artifact was made, how good it is, and what it is not for.

In: a finished artifact with its parents. Out: ``model_card.json`` and ``MODEL_CARD.md``. Start with `model_card`.
"""
