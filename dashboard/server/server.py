"""The server that `launch` starts: the app behind the gate that guards it."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard.server import access, descriptors, launcher, warm_up
from dashboard.server.access import Gate

launcher.end_with_it()
descriptors.raise_limit()
access.announce()
warm_up.make()
app = st.App(Path(__file__).resolve().parents[1] / "app.py", middleware=[Middleware(Gate)])
