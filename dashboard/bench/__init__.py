"""How fast the dashboard answers: a run of any size, readers that ask, what it takes."""
