"""The lake over HTTP, and who may ask it what."""
