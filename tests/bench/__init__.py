"""What the product costs: ``make bench``. Not part of the tests, for machines differ and are noisy."""
