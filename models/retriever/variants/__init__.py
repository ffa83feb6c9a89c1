"""``two_tower.auto``: other settings of the towers, tried on a sample of the users before the training.

In: the config, and the etl artifact. Out: the config that is trained, and what was tried. Start with `settings`, which
has what is tried, then `choice`.
"""
