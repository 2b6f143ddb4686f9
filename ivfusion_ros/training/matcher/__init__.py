"""Training of the matcher, which finds the places that both cameras show."""
