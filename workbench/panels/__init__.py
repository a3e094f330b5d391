"""What is seen: widgets that show and start, and decide nothing."""
