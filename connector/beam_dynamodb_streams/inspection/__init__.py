"""What inspect shows, as values that notebooks use too."""
