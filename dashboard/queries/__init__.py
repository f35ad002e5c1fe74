"""Typed filters to tables: SQL over a run's Parquet with DuckDB; no Streamlit, no torch."""
