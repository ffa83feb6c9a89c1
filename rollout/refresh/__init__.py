"""Renewing the items of a release without training: new ones in, changed ones moved, sold-out ones gone.

In: a kept release, and a table of items. Out: another kept release with the same towers and the same ranker. Start with
`refresh`, then `changes`.
"""
