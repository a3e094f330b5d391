"""What can be asked, a module for each part of it."""
