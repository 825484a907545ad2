"""The schedule: what is done again and again, and whether it was."""
