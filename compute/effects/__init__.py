"""The effects stage: predictions to the tables that the dashboard shows."""
