"""The durable record of runs in SQL."""
