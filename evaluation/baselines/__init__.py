"""Baselines: the methods that the recommender is compared with.

In: the training part of the log. Out: ranked lists, or logits of logged impressions, for the same test requests.
Start with `top_n`.
"""
