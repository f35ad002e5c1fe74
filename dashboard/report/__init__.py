"""Figures as slides: kept in an address, shown one at a time, saved as HTML, PDF and PowerPoint.

    keys → registry → slides → html, pdf, powerpoint

No Streamlit here: the command line makes the same files as the dashboard.
"""
