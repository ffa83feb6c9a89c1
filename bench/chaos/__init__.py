"""Breaks a running server on purpose and says what its clients noticed: `cascade bench --chaos`.

In: a served model. Out: for each kind of fault the longest time without an answer and what failed, see `faults`; what
malformed requests did, see `flood`.
"""
