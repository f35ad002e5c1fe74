"""The probe stage: simple classifiers on embeddings, fitted on some proteins, tested on others."""
