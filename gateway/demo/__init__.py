"""A sample provider: a catalogue with one customer per plan, and media servers that play against a running gateway."""
