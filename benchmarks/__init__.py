"""Times and rates, always beside something else that is measured in the same run."""
