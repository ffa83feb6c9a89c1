"""A catalogue of any size for load tests: a small shop is trained, then widened. Start with `build`."""
