#!/bin/sh
# Software rendering for MuJoCo videos. Installs it when root on Debian or Ubuntu, else says in one line how to.
# Nothing fails without it: runs then have no MuJoCo videos, and say so.
set -u
if [ "$(uname -s)" != Linux ] || ldconfig -p 2>/dev/null | grep -q libOSMesa; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing libosmesa6 (software rendering for videos)"
    if (apt-get update -qq && apt-get install -y -qq --no-install-recommends libosmesa6) >/dev/null 2>&1; then exit 0; fi
fi
echo "MuJoCo videos need software rendering: sudo apt-get install -y libosmesa6   (everything else works without)"
