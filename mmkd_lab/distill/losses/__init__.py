"""The methods, one file each. Every file of this folder is imported, and registers what it holds."""

from importlib import import_module
from pkgutil import iter_modules

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
