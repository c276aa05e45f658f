"""What is derived from the recorded events: read models, reports, pictures."""
