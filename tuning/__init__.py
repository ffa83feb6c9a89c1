"""Search over the config's own keys: every trial is a config like any other, run through the stages."""
