"""Make the environment: a virtual environment with the pinned packages and the lab itself.

    python tools/setup.py                 into .venv
    python tools/setup.py --here          into the environment of this Python
    python tools/setup.py --oldest --venv .venv-oldest
                                          every package at the lower bound that pyproject.toml states

A machine without an NVIDIA GPU gets a CPU build of torch when one can be had, so that it does not download
CUDA: from the package sources the user has configured, or from PyTorch's own index of CPU builds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OLDEST, NEWEST = (3, 11), (3, 13)
#: Extras with many packages of their own, which the lock leaves out: what needs them is skipped without.
UNPINNED = ("docs", "trackers")
#: What tests do not import.
TOOLS = ("mypy", "pandas-stubs", "playwright", "ruff", "voila")


def main() -> None:
    """Make or complete the environment; every step is shown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is made")
    parser.add_argument("--here", action="store_true", help="use the environment of this Python instead")
    parser.add_argument("--oldest", action="store_true", help="install lower bounds, not the pinned versions")
    options = parser.parse_args()
    check_python()
    python = Path(sys.executable) if options.here else environment(options.venv)
    pins = oldest() if options.oldest else {}
    torch = install_torch(python, pins.pop("torch", torch_version()))
    if options.oldest:
        pip(python, torch, "editables", *(f"{name}=={version}" for name, version in pins.items()))
    else:
        pip(python, "-r", str(LOCK))
    pip(python, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    say("ready")


def check_python() -> None:
    """Refuse a Python that the lab does not support."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        needed = f"mmkd_lab needs Python 3.11, 3.12 or 3.13; {sys.executable} is {found}."
        sys.exit(f"{needed} Give another: make PYTHON=python3.12")


def environment(folder: Path) -> Path:
    """The Python of the virtual environment in `folder`, which is made, or made anew for another version."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if version_of(python) != sys.version_info[:2]:
        say(f"making {folder}")
        run(sys.executable, "-m", "venv", "--clear", str(folder))
    return python


def version_of(python: Path) -> tuple[int, ...]:
    """Major and minor version of an interpreter; empty when it does not run."""
    if not python.exists():
        return ()
    code = "import pip, sys; print(*sys.version_info[:2])"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, found.stdout.split()))


def install_torch(python: Path, wanted: str) -> str:
    """Install torch: a CPU build if there is no GPU and such a build can be had. Returns what is to be there.

    When that version has no CPU build, another than the pinned one is given up rather than CUDA downloaded.
    """
    if has_gpu() or sys.platform == "darwin":
        return f"torch=={wanted}"  # with a GPU it is the CUDA build, on macOS there is only one build
    for version in dict.fromkeys((wanted, torch_version())):
        if installed(python, version) or cpu_build(python, version):
            if version != wanted:
                say(f"torch {wanted} has no CPU build here: taking {version}")
            return f"torch=={version}"
    say("no CPU build of torch found: installing the ordinary one")
    return f"torch=={torch_version()}"


def cpu_build(python: Path, version: str) -> bool:
    """Install the CPU build of a version of torch; whether there is one."""
    say(f"no NVIDIA GPU found: looking for a CPU build of torch {version}")
    index = os.environ.get("TORCH_CPU_INDEX", "")
    wanted = ("--retries", "1", "--no-deps", f"torch=={version}+cpu")
    return pip_try(python, *wanted) or (index != "" and pip_try(python, *wanted, "--extra-index-url", index))


def installed(python: Path, wanted: str) -> bool:
    """Whether this version of torch is there already."""
    code = (
        "import sys; from importlib.metadata import version;"
        "sys.exit(version('torch').split('+')[0] != sys.argv[1])"
    )
    command = [str(python), "-c", code, wanted]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def oldest() -> dict[str, str]:
    """Every package that is imported or builds the lab -> the lowest version that pyproject.toml admits."""
    import tomllib  # not before `check_python`, which older Pythons must reach

    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, listed = content["project"], content["build-system"]["requires"]
    known = project["optional-dependencies"].items()
    extras = (one for name, extra in known if name not in UNPINNED for one in extra)
    listed = [*listed, *project["dependencies"], *extras]
    bounds = dict(one.split(">=") for one in listed)
    return {name: version for name, version in bounds.items() if name not in TOOLS}


def torch_version() -> str:
    """The version of torch that is pinned."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("torch=="))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, as far as can be told without a driver's library."""
    return shutil.which("nvidia-smi") is not None or any(Path("/dev").glob("nvidia[0-9]*"))


def pip(python: Path, *arguments: str) -> None:
    """`pip install`, shown as it goes; ends the program when it fails."""
    if not pip_try(python, *arguments):
        sys.exit(f"pip could not install {' '.join(arguments)}; see above.")


def pip_try(python: Path, *arguments: str) -> bool:
    """`pip install`; whether it worked."""
    say(f"pip install {' '.join(arguments)}")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def run(*command: str) -> None:
    """Run a command; ends the program when it fails."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{' '.join(command)} failed; see above. On Debian: apt-get install python3-venv")


def say(text: str) -> None:
    """One line of progress."""
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    main()
