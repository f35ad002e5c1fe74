"""One entry a figure: its query, its chart, its table, and what it takes from an address.

    keys → request → parameters → figure → accuracy, answers, proteins, crops, compare → registry

A page, a kept slide on Present, the HTML, PDF and PowerPoint reports and the command line all show
a figure by its entry. No Streamlit here.
"""
