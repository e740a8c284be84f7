"""What code costs, measured by hand: no part of the tests, as machines differ."""
