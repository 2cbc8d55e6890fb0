"""Build the wheel and the sdist, and try them: in an environment of their own, from another folder.

python tools/dist.py                  build into dist, install the wheel into .venv-dist, run notebook 00
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import setup

DIST = setup.ROOT / "dist"


def main() -> None:
    """Every step is shown; what fails ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=setup.ROOT / ".venv-dist", help="made anew")
    parser.add_argument("--notebook", default="00", help="which is run")
    options = parser.parse_args()
    setup.check_python()
    shutil.rmtree(options.venv, ignore_errors=True)
    python = setup.environment(options.venv)
    wheel = built(python)
    torch = setup.install_torch(python, setup.torch_version())
    setup.pip(python, torch, str(wheel), "--constraint", str(setup.LOCK))
    with tempfile.TemporaryDirectory() as elsewhere:
        command = python.with_name("mmkd-lab")
        subprocess.run([command, "run", options.notebook], cwd=elsewhere, check=True)
        assert (Path(elsewhere) / "runs" / "latest" / "index.html").is_file()
    setup.say(f"{wheel.name} works")


def built(python: Path) -> Path:
    """The wheel and the sdist in `dist`, if the sdist makes the same wheel; the path of the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    pins = dict(line.split("==") for line in setup.LOCK.read_text().splitlines() if "==" in line)
    setup.pip(python, f"hatchling=={pins['hatchling']}", "--constraint", str(setup.LOCK))
    subprocess.run([python, "-m", "hatchling", "build", "-d", DIST], cwd=setup.ROOT, check=True)
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        again = ("wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
        subprocess.run([python, "-m", "pip", "-q", *again], check=True)
        ours, theirs = (
            sorted(zipfile.ZipFile(one).namelist()) for one in (wheel, next(Path(folder).iterdir()))
        )
    if ours != theirs:
        sys.exit(f"the sdist makes another wheel: {sorted(set(ours) ^ set(theirs))}")
    return wheel


if __name__ == "__main__":
    main()
