"""The student's network: body, heads, and the frozen copy that predicts."""
