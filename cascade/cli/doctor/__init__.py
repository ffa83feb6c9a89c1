"""``cascade doctor``: whether this machine can run everything, and what to do where it cannot.

In: a config file. Out: a `Check` for each requirement. Start with `examine`; the checks are functions, by what they
look at: `software`, `machine` and `pipeline`.
"""
