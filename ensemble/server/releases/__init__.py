"""Another release in processes that run.

In: the folder of a release. Out: it is loaded beside the one that answers, and then answers itself. Start with
`switch`.
"""
