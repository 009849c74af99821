"""What `make tom` needs where nothing else is there: a stand-in of an observation portal and a simulated event."""
