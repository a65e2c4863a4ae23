"""The consortium itself: runs, members, arbiter, resilience, analysis. Imports neither bot nor adapters."""
