"""What an item of a history says for the others, fitted in closed form: low-rank factors, and sparse weights.

In: the training positives as a matrix of users and items. Out: factors, or weights. Start with `factorizations`, then
`ease`.
"""
