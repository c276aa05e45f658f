"""What the commands below `orchestrate audit` do."""
