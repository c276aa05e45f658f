"""What the steps share: the handover with the orchestrator, partitions by day, tables."""
