"""What a load test found, as text, JSON and one HTML page. Start with `results`."""
