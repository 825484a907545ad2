"""An application with tasks for workers in processes of their own."""
