"""The dashboard: reads run directories with DuckDB and shows them; never imports torch."""
