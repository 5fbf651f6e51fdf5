"""Parts of `FidelityReport`: what is compared, scores, ceilings, checks, figure and page."""
