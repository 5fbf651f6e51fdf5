"""Run both examples, print their tables, and save their figures as demo_*.png."""

import runpy
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# The examples end with plt.show(), which warns if figures cannot be shown on a screen.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

for name in ["regression", "classification"]:
    runpy.run_path(str(Path(__file__).with_name(f"plot_{name}.py")))
    plt.savefig(f"demo_{name}.png", dpi=150)
    plt.close()
    print(f"figure saved to demo_{name}.png\n", flush=True)
