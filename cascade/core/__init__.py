"""What every layer shares: errors, config sections, artifacts, stages, column signatures."""
