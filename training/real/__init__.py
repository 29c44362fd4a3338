"""Real galaxies: measured by models through the code that serving uses, and compared with what others found."""
