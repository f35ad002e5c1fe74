"""The server process: how it is started, who may see what. No page is made here."""
