"""Executing the notebooks that are shipped, and making pages of them."""
