"""The effects stage: from predictions to the tables that the dashboard shows."""
