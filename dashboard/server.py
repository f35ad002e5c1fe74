"""The server that `launch` starts: the app behind the gate that guards its files."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import ready
from dashboard.access import Gate

ready.make()
app = st.App(Path(__file__).resolve().parent / "app.py", middleware=[Middleware(Gate)])
