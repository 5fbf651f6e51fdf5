"""How a student is trained: EM, its M-step, refinement, calibration."""
