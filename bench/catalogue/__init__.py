"""Catalogues of any size for load tests: a small synthetic shop is trained, then widened.

In: a config and a number of items. Out: an exported model repository with that many items. Start with `build`.
"""
