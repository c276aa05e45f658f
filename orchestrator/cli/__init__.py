"""The command line: wires everything; nothing imports it."""
