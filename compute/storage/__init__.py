"""Files that appear whole or not at all, who may write where, folders behind URLs. No torch."""
