"""Statistics of A/B tests and canaries that may be looked at as often as one likes.

In: sums over the users of two arms. Out: whether they differ, by how much, and what to do. Start with `decision`
for the whole; `user_sums` is what is counted, `difference` compares two arms, `sequential` and `sample_ratio` are
the tests.
"""
