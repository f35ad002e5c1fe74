"""Figures as slides: shown one at a time, saved as HTML, PDF and PowerPoint.

    deck → html, pdf, powerpoint; screen

No Streamlit here: the command line makes the same files as the dashboard.
"""
