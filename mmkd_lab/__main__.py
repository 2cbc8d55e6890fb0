"""`python -m mmkd_lab` is `mmkd-lab`."""

import sys

from mmkd_lab.cli import main

sys.exit(main())
