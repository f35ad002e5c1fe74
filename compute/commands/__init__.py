"""The verbs of the command line, by subject. Heavy modules load inside the verbs."""
