"""Catalogues of any size for load tests: a small synthetic shop is trained, then widened. Start with `build`."""
