"""Bringing a release to users: which one answers, is it better than the one before, or is it too early to say.

In: export artifacts; sums over the users of each arm. Out: kept releases and the live set; ship, stop or hold, with the
reason. Start with `releases` for what is kept and live, and with `statistics` for the decision.
"""
