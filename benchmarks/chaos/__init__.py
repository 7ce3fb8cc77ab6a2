"""Bad days: faults in real processes, and what becomes of what was acknowledged."""
