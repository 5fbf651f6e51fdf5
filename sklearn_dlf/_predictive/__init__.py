"""What a fitted student predicts."""
