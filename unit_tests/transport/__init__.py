"""How requests are sent, without HTTP."""
