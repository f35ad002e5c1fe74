"""The server that `launch` starts: the app behind the gate that guards it."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import access, ready
from dashboard.access import Gate

access.announce()
ready.make()
app = st.App(Path(__file__).resolve().parent / "app.py", middleware=[Middleware(Gate)])
