"""What a recommender has to beat.

In: the training part of the log. Out: ranked lists or click probabilities for the same test requests.
Start with `top_n`.
"""
