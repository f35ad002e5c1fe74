"""Descriptions of charts, and crops, to pixels and files without a browser. No Streamlit."""
