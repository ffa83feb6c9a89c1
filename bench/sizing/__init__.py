"""How many machines, at what cost.

In: a few measured figures. Out: capacity, cost and memory. Start with `formulas`.
"""
