"""For `make tom` without other services: a stand-in of an observation portal, and a simulated event."""
