"""Messages that were given up."""
