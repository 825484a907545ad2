"""What is done again and again: which jobs there are, who runs them, and the record of their runs."""
