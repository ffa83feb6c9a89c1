"""Model cards: what an artifact was made from, how it was trained and what it is not good for.

In: a finished artifact with its parents. Out: ``card.json`` and ``card.html``. Start with `model_card`.
"""
