"""Bringing a release to users: which one answers, is it better than the one before, or is it too early to say.

In: export artifacts; events of users. Out: kept releases and the live set; ship, stop or hold, with the reason. Start
with `releases` for what is kept and live, `gates` and `canary` for the way of a release to users, and `outcomes` and
`statistics` for what these say.
"""
