"""What is billed, computed from what happened. Pure: everything is an argument."""
