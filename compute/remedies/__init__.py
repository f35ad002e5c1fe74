"""Remedies that need no new network: fitted on some proteins, judged on others."""
