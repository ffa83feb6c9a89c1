"""What all other rooms build on: errors, config sections, artifacts, stages, column signatures, extensions.

It imports nothing from the rest of the package. Start with `artifact` and `stage`.
"""
