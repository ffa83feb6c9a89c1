"""The results of a load test as text, JSON and an HTML page. Start with `results`."""
