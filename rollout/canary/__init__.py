"""A canary that grows step by step, while gates judge what its users and those of the stable release get.

In: the metrics of the running servers, and outcomes where events are fed. Out: the next share, a promotion, or the end
of the canary. Start with `ramp`; `live_gates` judge, `scrape` and `arm_figures` count.
"""
