"""The leak check: does a feature or the split give the label away?

In: the data artifact and its features. Out: ``recsys_label_leak_check``, or an error that lists the leaks.
Start with `check`.
"""
