"""What keeps the count alive: heartbeats of nodes, sweeping of lapsed legs, recovery of what the store lost."""
