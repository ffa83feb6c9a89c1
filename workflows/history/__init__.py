"""What each user did before an event.

In: interactions in order. Out: the last items, the time between them, and which item follows which.
Start with `history`.
"""
