"""Tables to charts: what to draw (`description`), and Plotly figures of it. No SQL, no Streamlit.

A chart is described once, with its finding as title; `plotly` draws it on screen and
`dashboard.render.figures` draws the same description as SVG, PDF and PNG without a browser.
"""
