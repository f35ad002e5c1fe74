"""The command line: a file for each subject, a function for each verb.

Layer: on top of every other room. Modules that are slow to import are imported in the verbs.
"""
