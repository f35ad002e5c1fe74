"""One file a page, and what pages share. The only room that calls Streamlit to show things."""
