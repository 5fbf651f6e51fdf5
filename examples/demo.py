"""What ``make demo`` runs: both examples; tables are printed, figures saved as demo_*.png."""

import runpy
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# The examples end with plt.show(), which has nothing to show here.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

for name in ["regression", "classification"]:
    runpy.run_path(str(Path(__file__).with_name(f"plot_{name}.py")))
    plt.savefig(f"demo_{name}.png", dpi=150)
    plt.close()
    print(f"figure saved to demo_{name}.png\n", flush=True)
