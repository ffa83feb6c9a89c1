"""Does a feature give the label away?

In: the data artifact. Out: ``recsys_label_leak_check``, a list of suspicious columns. Start with `check`.
"""
