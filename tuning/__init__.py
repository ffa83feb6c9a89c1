"""`cascade tune`: hyperparameter search over keys of the config.

In: a config and the values that keys may take; each trial is a config, run through the stages up to the measured one.
Out: a report and the best config. Start with `tune`.
"""
