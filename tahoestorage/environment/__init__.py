"""The parts of env: stores that the environment names."""
