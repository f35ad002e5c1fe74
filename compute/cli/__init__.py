"""The command line: one file a subject, one function a verb. Heavy modules load in the verbs."""
