"""Gates of a release: is a candidate good enough to take the place of the release that is live.

In: two releases that are kept, and requests of held-out users. Out: a report with pass, fail or inconclusive for each
gate. Start with `verify`; `measure` asks the releases, and the other files judge what it measured.
"""
