"""The functions and classes behind ``import cascade``.

In: configs, tables and exported releases. Out: artifacts, recommendations, metrics. Start with `release`; the public
names are listed in the ``__init__`` of the package.
"""
