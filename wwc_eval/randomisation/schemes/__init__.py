"""One file for each allocation scheme; ``wwc_eval.randomisation.scheme`` says what a scheme is."""
