"""Where models look: pieces of crops are taken out, and the probe is asked what that changes."""
