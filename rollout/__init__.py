"""Bringing a release to users: is it better, is it worse, or is it too early to say.

In: sums over the users of each arm. Out: ship, stop or hold, with the reason. Start with `statistics`.
"""
