"""Effects: processes, files, digests, signals, and the loop that orders them."""
