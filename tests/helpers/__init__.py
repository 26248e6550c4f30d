"""Small worlds and servers the tests stand on."""
