"""Contract tests and miniatures, for this package's own tests and for those who write ops of their own."""
