"""What a worker does around a task: whom it tells that it lives, and what becomes of messages that fail."""
