"""Crops as other programs read them: what a file holds, what tells crops apart, the formats."""
