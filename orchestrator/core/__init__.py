"""The pure core: what a pipeline means, what has happened, what follows. No clock, disk, process or random number."""
