"""What person, invitation and machine policy decide: settings, limits, and how they combine."""
