"""What each user did before an event.

In: positives of each user in order of time. Out: the last items, the time gaps between them, and counts of which item
follows which. Start with `history`.
"""
