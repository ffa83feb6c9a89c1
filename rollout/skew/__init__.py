"""Train/serve skew: did requests see the features that the data and the ETL give.

In: requests that servers have kept with their features, and the artifacts of a release. Out: how often each column
differs. Start with `counts`; `offline` computes what the data says of a user at the time of a request.
"""
