"""The command line: wires everything together; nothing imports it."""
